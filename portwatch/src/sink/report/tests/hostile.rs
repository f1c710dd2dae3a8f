//! Names that were made to break out of where they stand.

use super::{Format, begin, ending, process, row, second, told, written};
use crate::event::Item;

fn names() -> Vec<Vec<u8>> {
    let crafted: [&[u8]; 20] = [
        b"<script>alert(1)</script>",
        b"</style><b>",
        b"\"><img src=x onerror=alert(1)>",
        b"' onmouseover='x",
        b"&lt;b&gt;",
        b"&#x3c;b&#x3e;",
        b"]]></svg>",
        b"<!--",
        b"-->",
        b"</title><script>",
        b"javascript:alert(1)",
        b"\x1b[2J\x1b]0;x\x07",
        b"\xff\xfe<b>",
        b"a\0b",
        "a\u{202e}b".as_bytes(),
        "\u{200b}\u{feff}".as_bytes(),
        b"a\nb\r\tc",
        b"{{7*7}}",
        b"\\u003cb\\u003e",
        "größe 東京".as_bytes(),
    ];
    let alone = crafted.iter().map(|name| name.to_vec());
    let doubled = crafted.iter().flat_map(|name| {
        [[b"x", *name].concat(), [*name, b"<"].concat(), [*name, b"\""].concat(), [*name, *name].concat()]
    });
    alone.chain(doubled).collect()
}

fn recording() -> Vec<Item> {
    let names = names();
    assert_eq!(names.len(), 100);
    let rows = names.iter().zip(1..).map(|(name, pid)| {
        let mut kept = name.clone();
        kept.truncate(64);
        row(process(pid, &kept), 443, 1000 - u64::from(pid), second(1), second(2))
    });
    [vec![begin()], ending(rows.collect(), 0).to_vec()].concat()
}

#[test]
fn a_hundred_crafted_names_show_as_what_they_are() {
    let mut report = told(&recording());
    let html = written(&mut report, Format::Html);
    let cells = cells(&html, "data-comm");
    let shown: Vec<String> =
        names().iter().map(|name| crate::term::clean(&name[..name.len().min(64)])).collect();
    assert_eq!(cells.len(), 100);
    for (cell, shown) in cells.iter().zip(&shown) {
        assert_eq!(cell, shown);
    }
    for forbidden in
        ["<script", "<img", "</style><b>", "javascript:alert(1)\"", "\u{1b}", "\u{202e}", "\0", "<!--"]
    {
        assert!(!html.contains(forbidden), "{forbidden:?}");
    }
    let text = written(&mut report, Format::Text);
    assert!(text.chars().all(|character| character == '\n' || crate::term::shows(character)));
}

/// What stands in elements with this attribute, unescaped.
fn cells(html: &str, attribute: &str) -> Vec<String> {
    let mut cells = Vec::new();
    for piece in html.split(attribute).skip(1) {
        let (_, inside) = piece.split_once('>').unwrap();
        let (inside, _) = inside.split_once('<').unwrap();
        assert!(!inside.contains('>'), "{inside}");
        let text =
            inside.replace("&lt;", "<").replace("&gt;", ">").replace("&quot;", "\"").replace("&amp;", "&");
        cells.push(text);
    }
    cells
}
