//! What is asked for only where it is needed, or of other exporters.

use std::collections::BTreeSet;

use super::{Collected, PER_QUERY, Part, Piece, Query, Source};
use crate::{
    model::{
        catalogue::{self, CORE_TIME_OFF, SIGNALS},
        series::Signal,
        time::Window,
    },
    telemetry::prometheus::{companions, containers, decode::Answer, selector},
};

impl Source {
    /// Asks which cores' modes add up to more than a second per second, keeps that as a
    /// signal, and returns their machines. Nearly always none.
    pub(super) async fn cores_off(
        &self,
        grid: Window,
        keep: &mut dyn FnMut(Vec<Piece>),
    ) -> BTreeSet<usize> {
        if self.guarded_parts().is_empty() {
            return BTreeSet::new();
        }
        let range = format!("{}ms", (self.window_s * 1000.0).round());
        let selector = selector::of_machines(&self.base, &self.machines, self.by_instance);
        let query = catalogue::core_time_off_promql(&selector, &range);
        let (start, end) = (grid.start.plus(self.ahead_s), grid.end.plus(self.ahead_s));
        // Once per rate window: each sample lies in one of them.
        let Ok(reply) = self.client.range(&query, start, end, self.window_s).await else {
            // What it would have said, the other queries will: the server is away.
            return BTreeSet::new();
        };
        let (mut machines, mut pieces) = (BTreeSet::new(), Vec::new());
        for Answer { mut labels, mut points } in reply.series {
            labels.remove("__name__");
            let device = labels.remove("cpu");
            let Some((machine, _)) = self.places.find(&labels) else { continue };
            let Some(name) = self.machines.get(machine).map(super::Machine::series_key) else {
                continue;
            };
            for point in &mut points {
                point.t = point.t.plus(-self.ahead_s);
            }
            machines.insert(machine);
            let signal = Signal { device, points, window_s: self.window_s };
            pieces.push(Piece { name: CORE_TIME_OFF, machine: name, signal });
        }
        keep(pieces);
        machines
    }

    /// The queries that replace those of CPU time for these machines.
    pub(super) fn guarded_queries(&self, machines: &BTreeSet<usize>) -> Vec<Query> {
        if machines.is_empty() {
            return Vec::new();
        }
        let machines: Vec<usize> = machines.iter().copied().collect();
        self.guarded_parts()
            .chunks(PER_QUERY)
            .map(|parts| Query {
                parts: parts.to_vec(),
                machines: Some(machines.clone()),
                is_guarded: true,
            })
            .collect()
    }

    /// The signals that rest on CPU time and are asked for.
    fn guarded_parts(&self) -> Vec<Part> {
        SIGNALS
            .iter()
            .filter(|row| row.in_prometheus && row.uses_cpu_time())
            .filter(|row| self.only.as_ref().is_none_or(|only| only.contains(&row.name)))
            .map(|row| Part { name: row.name, averaged_s: self.window_s, expr: Some(&row.expr) })
            .collect()
    }

    /// Reads what other exporters say of the machines: containers at a limit, GPUs, what a
    /// cloud grants. That costs a few queries, whatever the number of machines, and a
    /// server that has none of it answers with nothing. One that refuses them costs a note.
    pub(super) async fn read_companions(
        &self,
        grid: Window,
        collected: &mut Collected,
        keep: &mut dyn FnMut(Vec<Piece>),
    ) {
        let Some(matchers) = &self.companions else { return };
        let window_s = companions::rate_window(self.window_s, grid.seconds());
        let machines = companions::Machines::new(self.companion_machines(grid).await);
        let mut found = Vec::new();
        if let Some(series) =
            self.companion_answer(&companions::query(matchers, window_s), grid, collected).await
        {
            found.extend(companions::found(series, &machines, window_s));
        }
        let query = containers::candidates_query(matchers, window_s);
        let candidates = self.companion_answer(&query, grid, collected).await.unwrap_or_default();
        let containers = containers::containers(&candidates, &machines);
        if let Some(query) = containers::details_query(matchers, window_s, &containers)
            && let Some(series) = self.companion_answer(&query, grid, collected).await
        {
            found.extend(containers::found(&series, &machines, &containers, window_s));
        }
        let pieces = found.into_iter().map(|mut one| {
            for point in &mut one.signal.points {
                point.t = point.t.plus(-self.ahead_s);
            }
            Piece { name: one.name, machine: one.node, signal: one.signal }
        });
        keep(pieces.collect());
    }

    async fn companion_answer(
        &self,
        query: &str,
        grid: Window,
        collected: &mut Collected,
    ) -> Option<Vec<Answer>> {
        let (start, end) = (grid.start.plus(self.ahead_s), grid.end.plus(self.ahead_s));
        match self.client.range(query, start, end, self.interval_s).await {
            Ok(reply) => {
                collected.warnings.extend(reply.warnings);
                Some(reply.series)
            }
            Err(error) => {
                collected.companions_failed.insert(error.to_string());
                None
            }
        }
    }

    /// The machines as other exporters may name them.
    async fn companion_machines(&self, grid: Window) -> Vec<companions::Machine> {
        let selector = selector::of_machines(&self.base, &self.machines, self.by_instance);
        let comma = if selector.is_empty() { "" } else { "," };
        let query = format!("node_dmi_info{{board_asset_tag=~\"i-.+\"{comma}{selector}}}");
        let at = Some(grid.end.plus(self.ahead_s));
        // Without it, only what a cloud's own exporter says of an instance is not found.
        let clouds = self.client.query(&query, at).await.unwrap_or_default().series;
        let cloud_id = |key: &str| {
            clouds.iter().find_map(|answer| {
                let instance = answer.labels.get("instance")?;
                let tag = answer.labels.get("board_asset_tag")?;
                (instance == key).then(|| tag.clone())
            })
        };
        self.machines
            .iter()
            .map(|machine| companions::Machine {
                key: machine.series_key(),
                instance: machine.instance.clone(),
                names: vec![machine.nodename().to_owned(), machine.name.clone()],
                cloud_id: cloud_id(&machine.series_key()),
                labels: machine.main_target().map(|one| one.labels.clone()).unwrap_or_default(),
            })
            .collect()
    }
}
