//! What every command that judges does with the verdict: keep the reports,
//! tell it, and end with the code that it asks for.

use super::{
    args::{Judging, Printed},
    exit::{Exit, Failure},
    output,
};
use crate::{
    analyze::{
        self,
        outcome::{Analysis, Kind},
        sources,
    },
    model::run::Run,
    report::{self, Format},
    store::{self, folder::RunFolder},
};

/// Read a run and judge it, each node by a source that saw it.
pub(super) fn read(folder: &RunFolder) -> Result<(Run, Analysis), store::Error> {
    let mut run = store::read::run(folder)?;
    sources::settle(&mut run);
    let analysis = analyze::analyze(&run);
    Ok((run, analysis))
}

/// Judge the run of a folder, write its reports and print the verdict.
pub(super) fn judge(folder: &RunFolder, judging: Judging) -> Result<Analysis, Failure> {
    let (run, analysis) = read(folder)?;
    let mut written = Ok(());
    for format in [Format::Html, Format::Png, Format::Json] {
        let bytes = report::render(&run, &analysis, format)?;
        written = written.and(folder.replace(format.file_name(), &bytes));
    }
    // The verdict is told even where it cannot be kept.
    print(judging.format, &run, &analysis, folder)?;
    written?;
    Ok(analysis)
}

fn print(
    printed: Printed,
    run: &Run,
    analysis: &Analysis,
    folder: &RunFolder,
) -> Result<(), Failure> {
    match printed {
        Printed::Json => output::bytes(&report::render(run, analysis, Format::Json)?),
        Printed::Text => {
            output::text(&report::terminal::render(run, analysis, output::columns()));
            output::text(&format!(
                "\n{}: report.html, report.png, verdict.json\n",
                folder.path().display()
            ));
        }
    }
    Ok(())
}

/// The exit code of a verdict: gates first, then what `--fail-on-saturation`
/// and `--strict` ask.
pub(super) fn exit(analysis: &Analysis, judging: Judging) -> Exit {
    let Judging { strict, fail_on_saturation, .. } = judging;
    let at_limit = analysis
        .overall
        .as_ref()
        .is_some_and(|overall| matches!(overall.kind, Kind::Saturated | Kind::Full));
    if analysis.thresholds.iter().any(|gate| !gate.ok) || (fail_on_saturation && at_limit) {
        Exit::Threshold
    } else if strict && !analysis.validity.ok {
        Exit::Invalid
    } else {
        Exit::Done
    }
}
