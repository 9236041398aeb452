//! What stands beside a verdict: what is clean, what was not seen, what would
//! limit next.

use crate::{
    analyze::{
        assess::Assessment,
        outcome::{Kind, Mention},
        words,
    },
    model::catalogue::Class,
};

pub(super) fn exonerated(assessments: &[Assessment]) -> Vec<Mention> {
    assessments
        .iter()
        .filter(|assessment| assessment.kind == Kind::Idle)
        .map(|assessment| Mention {
            resource: assessment.resource.name.to_owned(),
            device: assessment.device.clone(),
            text: words::clean_because(assessment),
        })
        .collect()
}

pub(super) fn unobserved(assessments: &[Assessment]) -> Vec<Mention> {
    assessments
        .iter()
        .filter(|assessment| {
            assessment.kind == Kind::Unknown
                // Seen by its errors only: say what was not seen.
                || (!assessment.resource.utilization.is_empty()
                    && assessment.held.iter().all(|held| held.class != Class::Utilization))
        })
        .map(|assessment| Mention {
            resource: assessment.resource.name.to_owned(),
            device: assessment.device.clone(),
            text: assessment.resource.blind.to_owned(),
        })
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
