//! The words of a `stress` command line, read as `stress` 1.0.7 reads them.

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) verbosity: u8,
    pub(super) dry_run: bool,
    pub(super) timeout_s: i64,
    pub(super) backoff_us: i64,
    pub(super) cpu: i64,
    pub(super) io: i64,
    pub(super) vm: i64,
    pub(super) vm_bytes: i64,
    pub(super) vm_stride: i64,
    /// -1 for no pause, 0 for an endless one.
    pub(super) vm_hang_s: i64,
    pub(super) vm_keep: bool,
    pub(super) hdd: i64,
    pub(super) hdd_bytes: i64,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            verbosity: 2,
            dry_run: false,
            timeout_s: 0,
            backoff_us: 3000,
            cpu: 0,
            io: 0,
            vm: 0,
            vm_bytes: 256 << 20,
            vm_stride: 4096,
            vm_hang_s: -1,
            vm_keep: false,
            hdd: 0,
            hdd_bytes: 1 << 30,
        }
    }
}

/// What the words ask the program to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Parsed {
    Help,
    Version,
    Run(Request),
}

/// A refusal: what `stress` writes after FAIL, with the number it puts in
/// parentheses (a line of its source, which scripts have come to know).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) line: u16,
    pub(super) text: String,
}

/// Read the words strictly from left to right; the first error, `--help` or
/// `--version` ends it.
pub(super) fn parse(words: &[String], say: &mut dyn FnMut(String)) -> Result<Parsed, Refusal> {
    let mut request = Request::default();
    let mut words = words.iter().map(String::as_str).peekable();
    while let Some(word) = words.next() {
        // A word after an option is its value unless it looks like an option;
        // `-1` is a number.
        let mut value = |line: u16, long: &str| -> Result<&str, Refusal> {
            let next = words.peek().copied().filter(|next| {
                let mut chars = next.chars();
                chars.next() != Some('-') || chars.next().is_some_and(|c| c.is_ascii_digit())
            });
            let missing = || refusal(line, format!("missing argument to option '--{long}'"));
            words.next_if(|_| next.is_some()).ok_or_else(missing)
        };
        match word {
            "-?" | "--help" => return Ok(Parsed::Help),
            "--version" => return Ok(Parsed::Version),
            "-v" | "--verbose" => request.verbosity = 3,
            "-q" | "--quiet" => request.verbosity = 0,
            "-n" | "--dry-run" => request.dry_run = true,
            "--backoff" => {
                let text = value(142, "backoff")?;
                request.backoff_us =
                    integer(text).ok_or_else(|| refusal(145, format!("invalid number: {text}")))?;
                at_least(request.backoff_us, 0, 150, "invalid backoff factor: ", "")?;
                if request.verbosity >= 3 {
                    say(format!("setting backoff coeffient to {}us", request.backoff_us));
                }
            }
            "-t" | "--timeout" => {
                request.timeout_s = time(value(157, "timeout")?)?;
                at_least(request.timeout_s, 1, 161, "invalid timeout value: ", "s")?;
            }
            "-c" | "--cpu" => {
                request.cpu = size(value(167, "cpu")?)?;
                at_least(request.cpu, 1, 171, "invalid number of cpu hogs: ", "")?;
            }
            "-i" | "--io" => {
                request.io = size(value(177, "io")?)?;
                at_least(request.io, 1, 181, "invalid number of io hogs: ", "")?;
            }
            "-m" | "--vm" => {
                request.vm = size(value(187, "vm")?)?;
                at_least(request.vm, 1, 191, "invalid number of vm hogs: ", "")?;
            }
            "--vm-bytes" => {
                request.vm_bytes = bytes(value(197, "vm-bytes")?)?;
                at_least(request.vm_bytes, 1, 201, "invalid vm byte value: ", "")?;
            }
            "--vm-stride" => {
                request.vm_stride = bytes(value(207, "vm-stride")?)?;
                at_least(request.vm_stride, 1, 211, "invalid stride value: ", "")?;
            }
            "--vm-hang" => {
                request.vm_hang_s = size(value(217, "vm-hang")?)?;
                at_least(request.vm_hang_s, 0, 221, "invalid value: ", "")?;
            }
            "--vm-keep" => request.vm_keep = true,
            "-d" | "--hdd" => {
                request.hdd = size(value(231, "hdd")?)?;
                at_least(request.hdd, 1, 235, "invalid number of hdd hogs: ", "")?;
            }
            "--hdd-bytes" => {
                request.hdd_bytes = bytes(value(241, "hdd-bytes")?)?;
                at_least(request.hdd_bytes, 1, 245, "invalid hdd byte value: ", "")?;
            }
            other => return Err(refusal(251, format!("unrecognized option: {other}"))),
        }
    }
    Ok(Parsed::Run(request))
}

fn refusal(line: u16, text: String) -> Refusal {
    Refusal { line, text }
}

fn at_least(value: i64, least: i64, line: u16, before: &str, after: &str) -> Result<(), Refusal> {
    if value >= least { Ok(()) } else { Err(refusal(line, format!("{before}{value}{after}"))) }
}

/// A size: the last character is the suffix; overflow wraps, as it does there.
fn size(text: &str) -> Result<i64, Refusal> {
    let factor = |c| match c {
        'b' | 'B' => Some(1),
        'k' | 'K' => Some(1 << 10),
        'm' | 'M' => Some(1 << 20),
        'g' | 'G' => Some(1 << 30),
        _ => None,
    };
    suffixed(text, factor, [640, 665, 672])
}

/// A size in bytes, where `128MB` and `1KiB` mean what they say: the last
/// character alone would make 128 bytes and 1 byte of them.
fn bytes(text: &str) -> Result<i64, Refusal> {
    let lower = text.to_ascii_lowercase();
    let short = lower.strip_suffix("ib").or_else(|| lower.strip_suffix('b')).filter(|short| {
        let mut last = short.chars().rev();
        last.next().is_some_and(|unit| "kmg".contains(unit))
            && last.next().is_some_and(|digit| digit.is_ascii_digit())
    });
    size(short.unwrap_or(text))
}

/// A time in seconds.
fn time(text: &str) -> Result<i64, Refusal> {
    let factor = |c| match c {
        's' | 'S' => Some(1),
        'm' | 'M' => Some(60),
        'h' | 'H' => Some(3600),
        'd' | 'D' => Some(86_400),
        'y' | 'Y' => Some(31_536_000),
        _ => None,
    };
    suffixed(text, factor, [694, 723, 730])
}

fn suffixed(
    text: &str,
    factor: impl Fn(char) -> Option<i64>,
    [empty, suffix, number]: [u16; 3],
) -> Result<i64, Refusal> {
    let last = text.chars().last().ok_or_else(|| refusal(empty, "invalid string".to_owned()))?;
    let factor = if last.is_ascii_digit() { Some(1) } else { factor(last) };
    let factor = factor.ok_or_else(|| refusal(suffix, format!("unrecognized suffix: {last}")))?;
    let value = integer(text).ok_or_else(|| refusal(number, format!("invalid number: {text}")))?;
    Ok(value.wrapping_mul(factor))
}

/// An integer as C's `%lli` reads it: blanks, a sign, decimal, `0x` or octal;
/// what follows is not looked at; what does not fit saturates.
fn integer(text: &str) -> Option<i64> {
    let text = text.trim_start_matches([' ', '\t', '\n', '\x0b', '\x0c', '\r']);
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let hexadecimal = digits
        .strip_prefix("0x")
        .or_else(|| digits.strip_prefix("0X"))
        .filter(|rest| rest.starts_with(|c: char| c.is_ascii_hexdigit()));
    let (radix, digits) = match hexadecimal {
        Some(rest) => (16, rest),
        None if digits.starts_with('0') => (8, digits),
        None => (10, digits),
    };
    let end = digits.find(|c: char| !c.is_digit(radix)).unwrap_or(digits.len());
    let digits = digits.get(..end).filter(|digits| !digits.is_empty())?;
    let mut value: i128 = 0;
    for digit in digits.chars().filter_map(|c| c.to_digit(radix)) {
        value = (value * i128::from(radix) + i128::from(digit)).min(i128::from(u64::MAX));
    }
    let value = if negative { -value } else { value };
    let value = value.clamp(i128::from(i64::MIN), i128::from(i64::MAX));
    i64::try_from(value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Parsed, Refusal> {
        let words: Vec<String> =
            text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect();
        parse(&words, &mut drop)
    }

    fn request(text: &str) -> Request {
        match parsed(text).unwrap() {
            Parsed::Run(request) => request,
            other => panic!("{other:?}"),
        }
    }

    fn refused(text: &str) -> String {
        parsed(text).unwrap_err().text
    }

    #[test]
    fn suffixes_are_read_as_stress_reads_them() {
        assert_eq!(request("--vm-bytes 128M").vm_bytes, 128 << 20);
        assert_eq!(request("-t 2m").timeout_s, 120);
        assert_eq!(request("-c 010").cpu, 8);
        assert_eq!(request("-t 0x1d").timeout_s, 29 * 86_400);
        assert_eq!(request("-t 1e2").timeout_s, 1);
        assert_eq!(request("-c 1bk").cpu, 1024);
    }

    #[test]
    fn sizes_with_a_unit_of_two_letters_mean_what_they_say() {
        for (text, bytes) in [("128MB", 128 << 20), ("1KiB", 1 << 10), ("2gib", 2 << 30), ("5b", 5)]
        {
            assert_eq!(request(&format!("--vm-bytes {text}")).vm_bytes, bytes, "{text}");
            assert_eq!(request(&format!("--hdd-bytes {text}")).hdd_bytes, bytes, "{text}");
        }
        // A number of workers has no such unit.
        assert_eq!(request("-c 1kb").cpu, 1);
    }

    #[test]
    fn refusals_are_those_of_stress() {
        assert_eq!(refused("-c"), "missing argument to option '--cpu'");
        assert_eq!(refused("-c -v"), "missing argument to option '--cpu'");
        assert_eq!(refused("-c -1"), "invalid number of cpu hogs: -1");
        assert_eq!(refused("-c 1x"), "unrecognized suffix: x");
        assert_eq!(refused("-c k"), "invalid number: k");
        assert_eq!(refused("-t 0"), "invalid timeout value: 0s");
        assert_eq!(refused("--cpu=4"), "unrecognized option: --cpu=4");
        assert_eq!(
            refused("--vm-bytes 8589934592g"),
            "invalid vm byte value: -9223372036854775808"
        );
    }

    #[test]
    fn the_first_of_help_and_error_ends_it() {
        assert_eq!(parsed("--help --bogus"), Ok(Parsed::Help));
        assert!(parsed("--bogus --help").is_err());
        assert_eq!(parsed("-c 1 --version"), Ok(Parsed::Version));
    }
}
