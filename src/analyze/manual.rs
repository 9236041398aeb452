//! What docs/verdicts.md says of each resource, from the tables that judge it.

use super::resources::{ALL, Counts, Criterion};
use crate::model::catalogue::{self, Class};

/// Every resource as a part of docs/verdicts.md: what it means, what its
/// thresholds are and where they come from, what to do.
pub fn markdown() -> String {
    let mut text = String::new();
    for resource in ALL {
        text.push_str(&format!(
            "### {}\n\n{}\n\nUsually: {}.\n\n| evidence | signal | from | counts | source |\n| --- | --- | --- | --- | --- |\n",
            resource.name, resource.means, resource.usual
        ));
        for (class, criteria) in [
            (Class::Error, resource.errors),
            (Class::Saturation, resource.saturation),
            (Class::Utilization, resource.utilization),
        ] {
            for criterion in criteria {
                let Some(row) = catalogue::signal(criterion.signal) else { continue };
                text.push_str(&format!(
                    "| {} | `{}` ({}) | {} | {} | {} |\n",
                    class.name(),
                    criterion.signal,
                    criterion.stat.name(),
                    row.unit.show(criterion.limit),
                    counts(criterion, class),
                    criterion.source
                ));
            }
        }
        for relation in resource.follows {
            text.push_str(&format!("\nFollows from `{}`: {}.", relation.root, relation.why));
        }
        if !resource.follows.is_empty() {
            text.push('\n');
        }
        text.push_str(&format!(
            "\nNot observed: {}.\n\nWhat to do: {}.\n\n",
            resource.blind, resource.advice
        ));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// When a criterion counts, in words.
fn counts(criterion: &Criterion, class: Class) -> String {
    let mut words = match criterion.counts {
        _ if class == Class::Utilization => "makes it full".to_owned(),
        Counts::AtLimit => "at the limit of utilization".to_owned(),
        Counts::Near => "near the limit of utilization".to_owned(),
        Counts::Alone => "alone".to_owned(),
        Counts::Substitute => "at the limit, when no other wait is seen".to_owned(),
        Counts::Hint => "only as a hint: a possibility".to_owned(),
        Counts::Suspected => "alone, as a possibility".to_owned(),
        Counts::Nears => "never; makes it near from its near value on".to_owned(),
        Counts::Never => "never; shown".to_owned(),
    };
    for condition in criterion.when {
        words.push_str(&format!(", with {}", condition.in_words()));
    }
    words
}
