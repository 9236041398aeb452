//! Ctrl-C and SIGTERM as messages.

use std::thread;

use crossbeam::channel::{Receiver, unbounded};
use nix::sys::signal::{SigSet, Signal};

/// The signals that ask the program to end.
pub(super) const ENDING: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// Block the ending signals in this thread and all later ones, and receive
/// them as messages. A second one ends the program at once: the spawner and
/// its workers die with it.
///
/// # Errors
/// When no thread can be made.
pub(super) fn listen() -> std::io::Result<Receiver<Signal>> {
    let mut set = SigSet::empty();
    for signal in ENDING {
        set.add(signal);
    }
    // Blocking cannot fail for a valid set; without it the default action,
    // ending the program, still stops the load.
    let _ = set.thread_block();
    let (sender, receiver) = unbounded();
    thread::Builder::new().spawn(move || {
        let mut count = 0;
        while let Ok(signal) = set.wait() {
            count += 1;
            if count > 1 {
                leave(128 + signal as i32);
            }
            if sender.send(signal).is_err() {
                // Nobody stops in order any more: obey at once.
                leave(128 + signal as i32);
            }
        }
    })?;
    Ok(receiver)
}

#[expect(clippy::exit, reason = "a second Ctrl-C leaves at once")]
fn leave(code: i32) {
    std::process::exit(code)
}
