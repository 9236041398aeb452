//! Text from outside (labels and errors of a server, names and descriptions of a file)
//! on its way to a terminal, a page or a table: what cannot be seen, or moves what stands
//! around it, is made visible.

use std::borrow::Cow;

/// Characters of one name or label value that are shown at most.
pub const LONGEST_NAME: usize = 300;
/// Characters of one message that are shown at most.
pub const LONGEST_MESSAGE: usize = 1000;

/// One line of text without anything invisible: line breaks and tabs become blanks; other
/// control characters (C0, DEL, C1), marks that change the direction of writing, tags,
/// blanks of no width and noncharacters become escapes such as `\u{202e}`. Letters of all
/// scripts, marks on them and emoji stay. A joiner stays where writing needs it: between
/// letters of Arabic and Indic scripts, and between two emoji.
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, false)
}

/// The same of a text with several lines: line feeds and tabs stay.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    escaped(text, true)
}

/// [`visible`], cut to `most` characters, with the number of those left out.
pub fn short(text: &str, most: usize) -> String {
    let Some((cut, _)) = text.char_indices().nth(most) else { return visible(text).into_owned() };
    let (kept, rest) = text.split_at(cut);
    format!("{}… ({} more characters)", visible(kept), rest.chars().count())
}

/// The same of a message, whose line breaks stay.
pub fn short_lines(text: &str, most: usize) -> String {
    let Some((cut, _)) = text.char_indices().nth(most) else {
        return visible_lines(text).into_owned();
    };
    let (kept, rest) = text.split_at(cut);
    format!("{}… ({} more characters)", visible_lines(kept), rest.chars().count())
}

/// The same of a JSON document: what is invisible in it stands as JSON's own escape.
pub fn visible_json(text: &str) -> Cow<'_, str> {
    if text.is_ascii() && !text.contains('\u{7f}') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut units = [0; 2];
    for c in text.chars() {
        if c != '\n' && is_invisible(c) {
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// The same with as many characters as before: what is invisible becomes U+FFFD, tabs stay.
pub fn replaced(text: &str) -> String {
    text.chars().map(|c| if c != '\t' && is_invisible(c) { '\u{fffd}' } else { c }).collect()
}

fn escaped(text: &str, keeps_lines: bool) -> Cow<'_, str> {
    if text.bytes().all(|byte| matches!(byte, 0x20..=0x7e) || (keeps_lines && byte == b'\n')) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut before = None;
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\n' | '\t' if keeps_lines => out.push(c),
            '\n' | '\t' => out.push(' '),
            // The line end of other systems.
            '\r' if rest.peek() == Some(&'\n') => (),
            c if is_invisible(c) && !is_needed(before, c, rest.peek().copied()) => {
                out.extend(c.escape_unicode());
            }
            c => out.push(c),
        }
        before = Some(c);
    }
    Cow::Owned(out)
}

/// Whether a character leaves no mark of its own, or is none.
const fn is_invisible(c: char) -> bool {
    matches!(c,
        '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}' | '\u{ad}' | '\u{34f}' | '\u{61c}'
        | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{3164}' | '\u{fdd0}'..='\u{fdef}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
        // The last two of each plane are no characters; XML has no way to write them.
        || (c as u32) & 0xfffe == 0xfffe
}

/// Whether an invisible character has its place between these two: a joiner between
/// letters that join or emoji, a selector of the form of what stands before it.
fn is_needed(before: Option<char>, c: char, after: Option<char>) -> bool {
    let joins = |c: Option<char>| c.is_some_and(|c| ('\u{600}'..='\u{dff}').contains(&c));
    match c {
        '\u{200c}' => joins(before) && joins(after),
        '\u{200d}' => {
            let emoji_before = before.is_some_and(|c| is_emoji(c) || c == '\u{fe0f}');
            (joins(before) && joins(after)) || (emoji_before && after.is_some_and(is_emoji))
        }
        '\u{fe0e}' | '\u{fe0f}' => {
            before.is_some_and(|c| is_emoji(c) || c.is_ascii_digit() || "#*".contains(c))
        }
        _ => false,
    }
}

/// The blocks in which emoji are, symbols and skin tones included.
const fn is_emoji(c: char) -> bool {
    matches!(c, '\u{a9}' | '\u{ae}' | '\u{203c}'..='\u{3299}' | '\u{1f000}'..='\u{1faff}')
        && !is_invisible(c)
}

/// Whether a text holds nothing that [`visible_lines`] would change.
pub fn is_visible(text: &str) -> bool {
    matches!(visible_lines(text), Cow::Borrowed(_)) || visible_lines(text) == text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_shown() {
        for (text, shown) in [
            ("\x1b[2J\x1b]52;c;eA==\x07", "\\u{1b}[2J\\u{1b}]52;c;eA==\\u{7}"),
            ("a\u{9b}31m", "a\\u{9b}31m"),
            ("x\u{202e}y\u{2066}", "x\\u{202e}y\\u{2066}"),
            ("a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"),
            ("a\u{2028}b\u{fffe}\u{1ffff}", "a\\u{2028}b\\u{fffe}\\u{1ffff}"),
            ("a\u{e0041}", "a\\u{e0041}"),
            ("one\r\ntwo\tthree\rfour", "one two three\\u{d}four"),
            ("a\u{200d}b", "a\\u{200d}b"),
        ] {
            assert_eq!(visible(text), shown);
            assert!(is_visible(&visible(text)));
        }
        assert_eq!(visible_lines("a\r\n\tb\x1b"), "a\n\tb\\u{1b}");
    }

    #[test]
    fn ordinary_text_stays() {
        for text in ["disk é ü ß", "日本語", "Καλημέρα", "👩‍👩‍👧 👍🏽 ❤️ 1️⃣", "می‌خواهم", "क्‍ष", "a\u{301}"]
        {
            assert_eq!(visible(text), text);
        }
    }

    #[test]
    fn json_says_the_same_after_it_was_made_visible() {
        let value = "a\u{202e}b\u{e0041}\u{7f}é";
        let text = serde_json::to_string(value).unwrap();
        let shown = visible_json(&text);
        assert!(is_visible(&shown) && shown.contains("\\u202e") && shown.contains('é'));
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), value);
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(short("äöü", 2), "äö… (1 more characters)");
        assert_eq!(short("äö", 2), "äö");
    }

    proptest::proptest! {
        /// Whatever comes, nothing invisible is left, and a second pass changes nothing.
        #[test]
        fn any_text_becomes_visible(text in "\\PC*|(?s).*") {
            let once = visible(&text).into_owned();
            proptest::prop_assert!(!once.chars().any(char::is_control));
            proptest::prop_assert_eq!(visible(&once).into_owned(), once.clone());
            proptest::prop_assert!(is_visible(&once));
        }
    }
}
