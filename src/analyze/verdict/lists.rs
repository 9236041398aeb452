//! What stands beside a verdict: what is clean, what was not seen, what would
//! limit next.

use std::collections::BTreeMap;

use crate::{
    analyze::{
        assess::Assessment,
        outcome::{Kind, Mention, Ranked},
        resources::is_path_of,
        sight::Unread,
        words,
    },
    model::catalogue::Class,
};

/// Devices of one resource that are listed one by one: a machine can have thousands of
/// cgroups.
const MOST_LISTED: usize = 64;

/// The nearest to their limit first, and the rest of a resource's devices as one.
pub(super) fn exonerated(assessments: &[Assessment]) -> Vec<Mention> {
    let idle = assessments.iter().filter(|assessment| assessment.kind == Kind::Idle);
    let (listed, rest) = most_of_each(idle);
    let mut mentions: Vec<Mention> = listed
        .into_iter()
        .map(|assessment| Mention {
            resource: assessment.resource.name.to_owned(),
            device: assessment.device.clone(),
            text: words::clean_because(assessment),
        })
        .collect();
    mentions.extend(rest.into_iter().map(|(resource, more)| Mention {
        resource: resource.to_owned(),
        device: None,
        text: format!("and {more} more, farther from their limit"),
    }));
    mentions
}

/// The nearest to a limit first.
pub(super) fn ranking(assessments: &[Assessment]) -> Vec<Ranked> {
    let is_path = |one: &Assessment| {
        assessments.iter().any(|other| {
            one.resource.name == other.resource.name
                && is_path_of(one.device.as_deref(), other.device.as_deref())
        })
    };
    // The paths of a multipath device are that device.
    let seen = assessments.iter().filter(|one| one.kind != Kind::Unknown && !is_path(one));
    let ranked = most_of_each(seen).0.into_iter().map(|assessment| Ranked {
        resource: assessment.resource.name.to_owned(),
        device: assessment.device.clone(),
        kind: assessment.kind,
        utilization: assessment.utilization,
    });
    ranked.collect()
}

/// The first devices of each resource, and how many more there are of which.
fn most_of_each<'a>(
    assessments: impl Iterator<Item = &'a Assessment>,
) -> (Vec<&'a Assessment>, BTreeMap<&'static str, usize>) {
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut listed = Vec::new();
    for assessment in assessments {
        let count = counts.entry(assessment.resource.name).or_default();
        *count += 1;
        if *count <= MOST_LISTED {
            listed.push(assessment);
        }
    }
    counts.retain(|_, count| *count > MOST_LISTED);
    for count in counts.values_mut() {
        *count -= MOST_LISTED;
    }
    (listed, counts)
}

/// What was not seen, or in part.
pub(super) fn unobserved(assessments: &[Assessment], unread: &[Unread]) -> Vec<Mention> {
    let in_part = unread.iter().map(|one| Mention {
        resource: one.resource.to_owned(),
        device: None,
        text: format!("seen in part: {}", one.in_words()),
    });
    assessments
        .iter()
        .filter(|assessment| {
            assessment.kind == Kind::Unknown
                // Seen by its errors only: say what was not seen.
                || (!assessment.at_limit()
                    && !assessment.resource.utilization.is_empty()
                    && assessment.held.iter().all(|held| held.class != Class::Utilization))
        })
        .map(|assessment| Mention {
            resource: assessment.resource.name.to_owned(),
            device: assessment.device.clone(),
            text: assessment.resource.blind.to_owned(),
        })
        .chain(in_part)
        .collect()
}

/// What would limit next: of the other resources with a known ceiling the one
/// nearest to it, with the load at which it would get there if its use grows
/// in proportion (the utilization law, U = X · S).
pub(super) fn next(root: &Assessment, assessments: &[Assessment]) -> Option<Mention> {
    // A single core is part of the CPU, and a ceiling that is not known is no
    // base for a forecast.
    let part = |other: &Assessment| {
        other.resource.name == "cpu-core"
            || (other.resource.name.starts_with("cpu") && root.resource.name.starts_with("cpu"))
    };
    let (growth, next) = assessments
        .iter()
        .filter(|other| other.resource.name != root.resource.name && !part(other))
        .filter(|other| other.kind != Kind::Unknown && other.resource.ceiling_known)
        .filter(|other| !other.standing)
        .filter_map(|other| {
            let (now, before) = other.utilization.zip(other.utilization_before)?;
            // Without a rise there is nothing to extrapolate.
            (now - before > 0.02).then(|| ((1.0 - before) / (now - before), other))
        })
        .min_by(|a, b| a.0.total_cmp(&b.0))?;
    Some(Mention {
        resource: next.resource.name.to_owned(),
        device: next.device.clone(),
        text: words::next(next, growth),
    })
}

/// The resource with the least headroom.
pub(super) fn nearest(assessments: &[Assessment]) -> Option<Mention> {
    let nearest = assessments
        .iter()
        .filter(|other| other.resource.ceiling_known && !other.standing)
        .max_by(|a, b| a.utilization.unwrap_or(0.0).total_cmp(&b.utilization.unwrap_or(0.0)))?;
    Some(Mention {
        resource: nearest.resource.name.to_owned(),
        device: nearest.device.clone(),
        text: words::clean_because(nearest),
    })
}
