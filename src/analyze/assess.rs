//! One resource, one device, one window: how near its limit, on what evidence.

use std::collections::BTreeSet;

use super::{
    outcome::{Evidence, Kind},
    resources::{Condition, Counts, Criterion, Resource},
};
use crate::model::{
    catalogue::{self, Class},
    mounts,
    series::{Signal, SignalSet},
    stats::Stat,
    time::Window,
    units::Unit,
};

/// Fewer samples than this carry no verdict: a median of two is either.
pub const FEWEST_SAMPLES: usize = 3;
/// A smaller share of the expected samples makes a verdict a possibility.
pub const LEAST_COVERAGE: f64 = 0.9;
/// An error rate must be this many times the baseline's to be the load's.
const ABOVE_BASELINE: f64 = 2.0;

/// A criterion that was held against the samples.
#[derive(Debug, Clone)]
pub struct Held {
    /// The criterion.
    pub criterion: &'static Criterion,
    /// Its class.
    pub class: Class,
    /// Its value in the window.
    pub value: f64,
    /// Its value in the baseline.
    pub before: Option<f64>,
    /// The device it was measured on; `None` for the whole node.
    pub device: Option<String>,
    /// How many samples.
    pub samples: usize,
    /// Whether the limit is reached and its conditions hold.
    pub met: bool,
    /// The first of its conditions that does not hold.
    pub but: Option<&'static Condition>,
    /// Whether reaching it decides, given everything else.
    pub decides: bool,
}

/// What is known of a resource (and device) in a window.
#[derive(Debug, Clone)]
pub struct Assessment {
    /// The resource.
    pub resource: &'static Resource,
    /// Its device.
    pub device: Option<String>,
    /// `Unknown` when no signal of it was seen.
    pub kind: Kind,
    /// The criteria that could be held against samples.
    pub held: Vec<Held>,
    /// Whether utilization, saturation, error are at their limit.
    pub met: Met,
    /// Whether it is only concluded from what the rest of the machine shows.
    pub hinted: bool,
    /// Share of the ceiling in use.
    pub utilization: Option<f64>,
    /// The same in the baseline.
    pub utilization_before: Option<f64>,
    /// Whether it was so before and did not change, so that it is no finding.
    pub standing: bool,
    /// Why it is possible at most, in sentences.
    pub doubts: Vec<String>,
    /// What its figures leave out or count in, in words.
    pub context: Vec<String>,
}

/// Which classes of evidence are at their limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Met {
    /// Utilization at a ceiling.
    pub utilization: bool,
    /// Work waited.
    pub saturation: bool,
    /// Requests were refused.
    pub error: bool,
}

/// Assess a resource on every device that was seen; one `Unknown` when none was.
/// Utilization and saturation are those of `window`, in which the load was
/// there; refusals count over the `whole` phase, its setup included.
pub fn resource(
    resource: &'static Resource,
    signals: &SignalSet,
    window: Window,
    whole: Window,
    baseline: Option<Window>,
) -> Vec<Assessment> {
    let mut devices: BTreeSet<Option<String>> = resource
        .utilization
        .iter()
        .chain(resource.errors)
        .flat_map(|criterion| signals.all(criterion.signal))
        .map(|signal| signal.device.clone())
        .collect();
    // Then what waits, and only then what may be concluded of the whole node.
    for hints in [false, true] {
        if devices.is_empty() {
            devices = resource
                .criteria()
                .filter(|criterion| (criterion.counts == Counts::Hint) == hints)
                .flat_map(|criterion| signals.all(criterion.signal))
                .map(|signal| signal.device.clone())
                .collect();
        }
    }
    // A node-wide signal (PSI) serves every device of its resource, unless the
    // node as a whole is one of them.
    let shared = !devices.contains(&None);
    let seen = Seen { signals, window, whole, baseline, shared };
    let mut all: Vec<Assessment> = devices
        .into_iter()
        .map(|device| one(resource, device, &seen))
        .filter(|assessment| assessment.kind != Kind::Unknown)
        .collect();
    // What waits and is explained by nothing that was seen may wait for what was not.
    let has_devices = all.iter().any(|one| one.device.is_some());
    if has_devices && !all.iter().any(explains_waiting) {
        all.extend(hint(resource, &Seen { shared: true, ..seen }));
    }
    if all.is_empty() {
        all.push(Assessment {
            resource,
            device: None,
            kind: Kind::Unknown,
            held: Vec::new(),
            met: Met::default(),
            hinted: false,
            utilization: None,
            utilization_before: None,
            standing: false,
            doubts: Vec::new(),
            context: Vec::new(),
        });
    }
    all
}

/// What is looked at.
struct Seen<'a> {
    signals: &'a SignalSet,
    window: Window,
    whole: Window,
    baseline: Option<Window>,
    shared: bool,
}

/// Whether tasks that wait for a resource can be those that wait here: it is at least near
/// its limit, or held somebody back.
fn explains_waiting(assessment: &Assessment) -> bool {
    let held_back = |held: &Held| {
        held.met && held.device.is_some() && matches!(held.criterion.counts, Counts::Near)
    };
    assessment.kind != Kind::Idle || assessment.held.iter().any(held_back)
}

/// What the rest of the machine shows of a resource beside its devices that were seen;
/// `None` where it shows nothing.
fn hint(resource: &'static Resource, seen: &Seen<'_>) -> Option<Assessment> {
    let hints = resource.saturation.iter().filter(|one| one.counts == Counts::Hint);
    let held: Vec<Held> = hints.filter_map(|one| seen.held(one, Class::Saturation, None)).collect();
    held.iter().any(|held| held.met).then(|| Assessment {
        resource,
        device: None,
        kind: Kind::Saturated,
        held,
        met: Met { saturation: true, ..Met::default() },
        hinted: true,
        utilization: None,
        utilization_before: None,
        standing: false,
        doubts: Vec::new(),
        context: Vec::new(),
    })
}

fn one(resource: &'static Resource, device: Option<String>, seen: &Seen<'_>) -> Assessment {
    let hold = |criteria: &'static [Criterion], class: Class| -> Vec<Held> {
        criteria
            .iter()
            .filter_map(|criterion| seen.held(criterion, class, device.as_deref()))
            .collect()
    };
    let utilization = hold(resource.utilization, Class::Utilization);
    let mut saturation = hold(resource.saturation, Class::Saturation);
    let mut errors = hold(resource.errors, Class::Error);
    let at_limit = utilization.iter().any(|held| held.met);
    let near =
        utilization.iter().any(|held| held.but.is_none() && held.value >= held.criterion.near);
    let waits_near = saturation.iter().any(|held| {
        held.but.is_none()
            && held.criterion.counts == Counts::AtLimit
            && held.value >= held.criterion.near
    });
    let nears = saturation.iter().any(|held| {
        held.but.is_none()
            && held.criterion.counts == Counts::Nears
            && held.value >= held.criterion.near
    });
    let waits_seen = saturation.iter().any(|held| {
        !matches!(
            held.criterion.counts,
            Counts::Substitute | Counts::Hint | Counts::Suspected | Counts::Nears | Counts::Never
        )
    });
    // Of its own: what counts only at a utilization may be anyone's.
    let seen_directly = !utilization.is_empty()
        || !errors.is_empty()
        || saturation
            .iter()
            .any(|held| matches!(held.criterion.counts, Counts::Alone | Counts::Near));
    saturation.retain(|held| match held.criterion.counts {
        Counts::Substitute => !waits_seen,
        Counts::Hint => !seen_directly,
        _ => true,
    });
    for held in saturation.iter_mut().chain(&mut errors) {
        held.decides = held.met
            && match held.criterion.counts {
                Counts::Alone | Counts::Hint | Counts::Suspected => true,
                // A ceiling that is not seen cannot be asked.
                Counts::Near => near || utilization.is_empty(),
                Counts::AtLimit | Counts::Substitute => at_limit,
                Counts::Nears | Counts::Never => false,
            };
    }
    let met = Met {
        utilization: at_limit,
        saturation: saturation.iter().any(|held| held.decides),
        error: errors.iter().any(|held| held.decides),
    };
    let kind = if utilization.is_empty() && saturation.is_empty() && errors.is_empty() {
        Kind::Unknown
    } else if met.error || met.saturation {
        Kind::Saturated
    } else if at_limit && resource.ceiling_known {
        Kind::Full
    } else if near && (resource.ceiling_known || (at_limit && waits_near) || nears) {
        // Busy all the time says nothing of a device that can do more at once.
        Kind::Near
    } else {
        Kind::Idle
    };
    // A share that does not count here (the busiest core, of tasks that may use
    // them all) is none of this resource.
    let counting = utilization.iter().filter(|held| held.but.is_none());
    let most = counting.max_by(|a, b| a.value.total_cmp(&b.value));
    let (utilization_now, utilization_before) =
        most.map_or((None, None), |held| (Some(share(held.value)), held.before.map(share)));
    let mut all = errors;
    all.extend(saturation);
    all.extend(utilization);
    let is_sign = |held: &Held| matches!(held.criterion.counts, Counts::Hint | Counts::Suspected);
    let is_measured =
        |held: &Held| held.class != Class::Utilization && held.decides && !is_sign(held);
    let hinted = kind == Kind::Saturated && !all.iter().any(is_measured);
    Assessment {
        resource,
        device,
        kind,
        held: all,
        met,
        hinted,
        utilization: utilization_now,
        utilization_before,
        standing: false,
        doubts: Vec::new(),
        context: seen.context(resource),
    }
}

/// A share as it may be shown: counters of two clocks can exceed 1 by a little.
fn share(value: f64) -> f64 {
    value.clamp(0.0, 1.0)
}

/// A value of a criterion as it may be shown.
fn shown(criterion: &Criterion, value: f64) -> f64 {
    if catalogue::unit_of(criterion.signal) == Some(Unit::Ratio) { share(value) } else { value }
}

/// A link that carries clearly more than its speed has another speed: virtual devices
/// report a nominal one.
fn is_disproved(name: &str, signal: &Signal, window: Window) -> bool {
    const MOST: f64 = 1.1;
    ["network_send_ratio", "network_receive_ratio"].contains(&name)
        && signal.stat(Stat::Percentile(90), window).is_some_and(|most| most > MOST)
}

impl Seen<'_> {
    /// `720 GiB of huge pages are left out`, for what there is in the window.
    fn context(&self, resource: &Resource) -> Vec<String> {
        resource
            .context
            .iter()
            .filter_map(|(signal, words)| {
                let most = self.signals.get(signal, None)?.stat(Stat::Max, self.window)?;
                let unit = catalogue::unit_of(signal)?;
                (most > 0.0).then(|| format!("{} {words}", unit.show(most)))
            })
            .collect()
    }

    fn held(
        &self,
        criterion: &'static Criterion,
        class: Class,
        device: Option<&str>,
    ) -> Option<Held> {
        let signal = self
            .signals
            .get(criterion.signal, device)
            .or_else(|| self.shared.then(|| self.signals.get(criterion.signal, None)).flatten())?;
        // Utilization and saturation are those of the time in which the load
        // was there; refusals count over the whole phase, its setup included.
        let window = if class == Class::Error { self.whole } else { self.window };
        let samples = signal.slice(window).len();
        if samples < FEWEST_SAMPLES || is_disproved(criterion.signal, signal, window) {
            return None;
        }
        let value = shown(criterion, signal.stat(criterion.stat, window)?);
        let before = self
            .baseline
            .and_then(|window| signal.stat(criterion.stat, window))
            .map(|before| shown(criterion, before));
        // Of what is far from its limit nobody asks whether it counts; a share is
        // shown in any case.
        let matters = class == Class::Utilization || value >= criterion.limit.min(criterion.near);
        let but = criterion
            .when
            .iter()
            .filter(|_| matters)
            .find(|condition| !self.holds(condition, device));
        let met = but.is_none()
            && value >= criterion.limit
            && (class != Class::Error
                || before.is_none_or(|before| value > ABOVE_BASELINE * before));
        Some(Held {
            criterion,
            class,
            value,
            before,
            device: signal.device.clone(),
            samples,
            met,
            but,
            decides: met,
        })
    }

    fn holds(&self, condition: &Condition, device: Option<&str>) -> bool {
        let name = condition.signal();
        let signal = self.signals.get(name, device).or_else(|| self.signals.get(name, None));
        let median = signal.and_then(|signal| signal.median(self.window));
        match condition {
            Condition::AtLeast(_, least) => median.is_some_and(|median| median >= *least),
            Condition::Below(_, most) => median.is_some_and(|median| median < *most),
            Condition::Unseen(_) => median.is_none(),
            Condition::Seen(_) => !self.signals.all(name).is_empty(),
            Condition::AllBelow(_, most) => self
                .signals
                .all(name)
                .iter()
                .filter_map(|signal| signal.median(self.window))
                .all(|median| median < *most),
        }
    }
}

impl Assessment {
    /// Whether the resource is at its limit, and was not so all the time.
    pub fn at_limit(&self) -> bool {
        matches!(self.kind, Kind::Saturated | Kind::Full) && !self.standing
    }

    /// Whether it is a file system that lies on another machine.
    pub fn is_remote(&self) -> bool {
        self.device.as_deref().is_some_and(mounts::is_remote)
    }

    /// Whether work that waits for it, or is refused, would have been seen.
    pub fn waits_seen(&self) -> bool {
        self.held.iter().any(|held| {
            held.class != Class::Utilization
                && !matches!(
                    held.criterion.counts,
                    Counts::Hint | Counts::Suspected | Counts::Nears | Counts::Never
                )
        })
    }

    /// Whether every multiprocessor of a GPU was seen to have work: nothing shows what
    /// waits for a GPU, and nothing else can be meant.
    pub fn fills_a_gpu(&self) -> bool {
        self.held.iter().any(|held| held.met && held.criterion.signal == "gpu_sm_active")
    }

    /// The criterion that says most clearly that the limit is reached.
    pub fn leading(&self) -> Option<&Held> {
        let wanted = if self.met.error {
            Class::Error
        } else if self.met.utilization || self.kind == Kind::Near {
            Class::Utilization
        } else {
            Class::Saturation
        };
        self.held.iter().filter(|held| held.class == wanted).max_by(|a, b| {
            // One whose conditions do not hold says nothing here.
            let by_conditions = a.but.is_none().cmp(&b.but.is_none());
            let shares = [a, b].map(|held| held.value / held.criterion.limit);
            by_conditions.then(shares[0].total_cmp(&shares[1]))
        })
    }

    /// Its name with its device, in a sentence.
    pub fn title(&self) -> String {
        let device = self.device.as_deref().unwrap_or("").trim();
        let title = match device {
            "" => self
                .resource
                .title
                .replace("of cgroup {device}", "of a cgroup")
                .replace(" on {device}", "")
                .replace("of {device}", "of the system")
                .replace(" ({device})", ""),
            // A group is a path; a container has the name that its orchestrator gave it.
            _ if !device.starts_with('/') && device.matches('/').count() == 2 => {
                self.resource.title.replace("cgroup", "container")
            }
            _ => self.resource.title.to_owned(),
        };
        title.replace("{device}", device).trim_end().to_owned()
    }

    /// The evidence, as the report has it.
    pub fn evidence(&self, supports: bool) -> Vec<Evidence> {
        let mut all: Vec<Evidence> = self
            .held
            .iter()
            .filter_map(|held| {
                let row = catalogue::signal(held.criterion.signal)?;
                let unit = row.unit;
                let relation =
                    if held.value >= held.criterion.limit { "at or above" } else { "below" };
                let but = held.but.filter(|_| held.value >= held.criterion.limit);
                let but = but.map_or_else(String::new, |condition| {
                    format!("; counts only with {}", condition.in_words())
                });
                let context = match held.class {
                    Class::Utilization if !self.context.is_empty() => {
                        format!(" ({})", self.context.join("; "))
                    }
                    _ => String::new(),
                };
                let before = held.before.map_or_else(String::new, |before| {
                    format!(", {} in the baseline", unit.show(before))
                });
                Some(Evidence {
                    signal: row.name.to_owned(),
                    device: held.device.clone(),
                    class: held.class.name(),
                    stat: held.criterion.stat.name(),
                    before: held.before,
                    value: held.value,
                    threshold: held.criterion.limit,
                    unit: unit.name(),
                    supports: held.met == supports,
                    samples: held.samples,
                    source: held.criterion.source,
                    text: format!(
                        "{}: {}{context}{before}; {relation} {}{but}",
                        row.what,
                        unit.show(held.value),
                        unit.show(held.criterion.limit),
                    ),
                })
            })
            .collect();
        // What speaks for the verdict comes first.
        all.sort_by_key(|one| !one.supports);
        all
    }
}
