//! Rust source as words and signs, without comments and literals.
//!
//! In: source text. Out: what the checks look at, with line numbers. As much of Rust's lexical rules as tells
//! code from comments, strings, characters and lifetimes.

/// A word or a sign of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    /// The word, or `::`, or one other sign.
    pub(super) text: String,
    /// Counted from one.
    pub(super) line: usize,
}

impl Token {
    /// Whether it is a name or a keyword.
    pub(super) fn is_word(&self) -> bool {
        self.text.starts_with(is_word_start)
    }
}

fn is_word_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_word_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The words and signs of `source`.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(first) = rest.chars().next() {
        let length = skipped(rest).unwrap_or_else(|| {
            let length = token_length(rest, first);
            if !first.is_whitespace() {
                tokens.push(Token { text: rest.get(..length).unwrap_or_default().to_owned(), line });
            }
            length
        });
        let (taken, left) = rest.split_at_checked(length).unwrap_or((rest, ""));
        line += taken.matches('\n').count();
        rest = left;
    }
    tokens
}

fn token_length(rest: &str, first: char) -> usize {
    if is_word_start(first) {
        rest.find(|c| !is_word_part(c)).unwrap_or(rest.len())
    } else if rest.starts_with("::") {
        2
    } else {
        first.len_utf8()
    }
}

/// The length of a comment or literal at the start of `rest`.
fn skipped(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(block_comment(rest));
    }
    let body = rest.trim_start_matches(['b', 'c']);
    // `b` and `c` belong to a literal only right before it.
    if rest.len() - body.len() > 1 {
        return None;
    }
    let prefix = rest.len() - body.len();
    let length = raw_string(body).or_else(|| quoted(body, '"')).or_else(|| character(body))?;
    Some(prefix + length)
}

fn block_comment(rest: &str) -> usize {
    let mut depth = 0_usize;
    for (at, _) in rest.char_indices() {
        let tail = rest.get(at..).unwrap_or_default();
        if tail.starts_with("/*") {
            depth += 1;
        } else if tail.starts_with("*/") {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at + 2;
            }
        }
    }
    rest.len()
}

fn raw_string(rest: &str) -> Option<usize> {
    let after_r = rest.strip_prefix('r')?;
    let body = after_r.trim_start_matches('#');
    let hashes = after_r.len() - body.len();
    let contents = body.strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let length = contents.find(&end).map_or(contents.len(), |at| at + end.len());
    Some(rest.len() - contents.len() + length)
}

fn quoted(rest: &str, quote: char) -> Option<usize> {
    let contents = rest.strip_prefix(quote)?;
    let mut escaped = false;
    for (at, c) in contents.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return Some(at + 2 * quote.len_utf8()),
            _ => {}
        }
    }
    Some(rest.len())
}

/// A character, or the `'name` of a lifetime, which is nothing to check either.
fn character(rest: &str) -> Option<usize> {
    let contents = rest.strip_prefix('\'')?;
    let second = contents.chars().nth(1);
    if contents.starts_with('\\') || second == Some('\'') {
        return quoted(rest, '\'');
    }
    Some(1 + contents.find(|c| !is_word_part(c)).unwrap_or(contents.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(source: &str) -> Vec<String> {
        tokens(source).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_and_literals_are_left_out() {
        assert_eq!(words("a // b\n/* c /* d */ e */ f"), ["a", "f"]);
        assert_eq!(
            words(r##"x("a\"b", r#"c"d"#, b"e", 'f', '\'', '"', &'g h)"##),
            ["x", "(", ",", ",", ",", ",", ",", ",", "&", "h", ")"]
        );
        assert_eq!(words("bc::b cat crate"), ["bc", "::", "b", "cat", "crate"]);
    }

    #[test]
    fn lines_are_counted_through_what_is_left_out() {
        let tokens = tokens("/* 1\n2 */ \"\n\" a\nb");
        assert_eq!(tokens.iter().map(|token| token.line).collect::<Vec<_>>(), [3, 4]);
    }
}
