//! The HTML report in a browser: it shows the numbers, fits every width, loads nothing, runs nothing.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails; its line number tells where")]

mod hostile;
mod recording;

use std::fs;
use std::path::Path;
use std::process::Command;

use jiff::tz::TimeZone;
use portwatch::diagnose::{Observer, Warn};
use portwatch::event::{Item, Text};
use portwatch::sink::Sink as _;
use portwatch::sink::report::{Format, Report};
use portwatch::term::{Paint, clean, shows};
use tempfile::TempDir;

/// Widths of windows, CSS pixels; 720 and 721 are on both sides of where tables become cards.
const WIDTHS: [u32; 6] = [320, 400, 720, 721, 1000, 1400];

fn page() -> String {
    let mut report = Report::new(None).of_files(vec![Text(b"web-1.jsonl.zst".to_vec())]);
    for (item, opinions) in recording::recording() {
        report.item(&item, &opinions).unwrap();
    }
    let mut html = Vec::new();
    report.write(Format::Html, &mut html, Paint::Plain, &TimeZone::UTC).unwrap();
    String::from_utf8(html).unwrap()
}

/// The page of processes with these names.
fn page_of(names: &[Vec<u8>]) -> String {
    let (mut report, mut observer) = (Report::new(None), Observer::new(Warn::AsRecorded));
    for item in hostile::recording(names) {
        report.item(&item, &observer.see(&item)).unwrap();
    }
    let mut html = Vec::new();
    report.write(Format::Html, &mut html, Paint::Plain, &TimeZone::UTC).unwrap();
    String::from_utf8(html).unwrap()
}

/// A text as part of a script.
fn literal(text: &str) -> String {
    serde_json::to_string(text).unwrap().replace('<', "\\u003c")
}

/// What the browser makes of a page: the document, and what it complains of. None where there is no browser.
fn browsed(folder: &Path, page: &str) -> Option<(String, String)> {
    let file = folder.join("page.html");
    fs::write(&file, page).unwrap();
    let output = ["chromium", "chromium-browser", "google-chrome"].into_iter().find_map(|browser| {
        Command::new(browser)
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--dump-dom"])
            .args(["--virtual-time-budget=5000", "--enable-logging=stderr", "--window-size=1400,900"])
            .arg(format!("--user-data-dir={}", folder.join("profile").display()))
            .arg(format!("file://{}", file.display()))
            .output()
            .ok()
    });
    let Some(output) = output else {
        println!("skipped: no chromium is installed here");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8_lossy(&output.stderr);
    let complaints: Vec<&str> = said.lines().filter(|line| line.contains(":CONSOLE")).collect();
    Some((String::from_utf8_lossy(&output.stdout).into_owned(), complaints.join("\n")))
}

/// The numbers in an attribute of the elements between two marks.
fn numbers(dom: &str, from: &str, to: &str, attribute: &str) -> Vec<u64> {
    let (_, inside) = dom.split_once(from).unwrap();
    let (inside, _) = inside.split_once(to).unwrap();
    let attribute = format!("{attribute}=\"");
    let pieces = inside.split(&attribute).skip(1);
    pieces.map(|piece| piece.split_once('"').unwrap().0.parse().unwrap()).collect()
}

#[test]
fn a_browser_shows_the_numbers_of_the_recording() {
    let folder = TempDir::new().unwrap();
    let Some((dom, complaints)) = browsed(folder.path(), &page()) else { return };
    assert_eq!(complaints, "");
    let recording = recording::recording();
    let end = recording.iter().find_map(|(item, _)| if let Item::End(end) = item { Some(end) } else { None });
    let end = end.unwrap();
    let shown = |id: &str| numbers(&dom, &format!("id=\"{id}\""), "</d", "data-value")[0];
    assert_eq!(shown("failures"), end.failures);
    assert_eq!((shown("delivered"), shown("suppressed")), (end.delivered, end.suppressed));
    for section in ["who", "where"] {
        let from = format!("<section id=\"{section}\">");
        let (_, inside) = dom.split_once(&from).unwrap();
        for table in inside.split_once("</section>").unwrap().0.split("<table>").skip(1) {
            let counts = numbers(table, "<tbody>", "</tbody>", "data-count");
            assert_eq!(counts.iter().sum::<u64>(), end.failures, "{table}");
        }
    }
    let timelines = numbers(&dom, "<section id=\"when\">", "</section>", "data-total");
    assert_eq!((timelines[0], timelines[1..].iter().sum()), (end.failures, end.failures));
    assert!(
        dom.contains("120,736 calls failed on web-1.example.com"),
        "numbers are grouped, as people read them"
    );
    assert!(dom.contains("<b data-comm=\"\">&lt;b&gt;worker&lt;/b&gt;</b>"), "a name is text");
}

#[test]
fn it_fits_windows_of_every_width() {
    let folder = TempDir::new().unwrap();
    let measured = |page: &str| -> Option<Vec<(u32, u32)>> {
        // A script of the test's own page measures the report in frames.
        let page = literal(page);
        let wrapper = format!(
            "<body><p id=result></p><script>
            for (const width of {WIDTHS:?}) {{
              const frame = document.createElement('iframe');
              frame.style = `border: 0; height: 900px; width: ${{width}}px`;
              frame.onload = () => {{
                const root = frame.contentDocument.documentElement;
                document.getElementById('result').append(`${{width}} ${{root.scrollWidth - root.clientWidth}},`);
              }};
              frame.srcdoc = {page};
              document.body.append(frame);
            }}
            </script>"
        );
        let (dom, _) = browsed(folder.path(), &wrapper)?;
        let result = dom.split_once("id=\"result\">").unwrap().1.split_once('<').unwrap().0;
        let pair = |pair: &str| {
            pair.split_once(' ').map(|(one, other)| (one.parse().unwrap(), other.parse().unwrap()))
        };
        let mut pairs: Vec<(u32, u32)> = result.split(',').filter_map(pair).collect();
        pairs.sort_unstable();
        Some(pairs)
    };
    let Some(fits) = measured(&page()) else { return };
    assert_eq!(fits, WIDTHS.map(|width| (width, 0)), "widths, and how much is beyond");
    let wide = measured(&page().replace("<main>", "<main><div style=\"width: 500px\">x</div>")).unwrap();
    assert!(wide[0].1 > 100, "what does not fit is noticed: {wide:?}");
}

#[test]
fn it_loads_nothing_and_runs_nothing() {
    let folder = TempDir::new().unwrap();
    let page = page();
    for forbidden in ["<script", "<img", "<link", "<iframe", "<object", "src=", "href=", "url(", "@import"] {
        assert!(!page.contains(forbidden), "{forbidden}");
    }
    let mut tags = page.split('<').filter_map(|piece| piece.split_once('>')).map(|(tag, _)| tag);
    assert!(tags.all(|tag| !tag.contains(" on")), "no element has a handler");
    // The browser would say so, and would not do it, if something slipped through.
    let slipped = page.replace(
        "</main>",
        "<script>document.title = 'run'</script><img src=\"http://127.0.0.1:9/x\"></main>",
    );
    let Some((dom, complaints)) = browsed(folder.path(), &slipped) else { return };
    assert!(complaints.contains("Content Security Policy"), "{complaints}");
    assert!(!dom.contains("<title>run</title>"));
}

#[test]
fn a_browser_shows_each_hostile_name_as_the_text_that_it_is() {
    let names = hostile::names();
    // As many as a table has rows.
    let pages: Vec<String> = names.chunks(100).map(page_of).collect();
    // Its own words are tied to numbers.
    let visible = |character| matches!(character, '\n' | '\u{a0}') || shows(character);
    for page in &pages {
        let hidden = page.char_indices().find(|(_, character)| !visible(*character));
        assert_eq!(hidden, None, "seed {:#x}: {page}", hostile::SEED);
    }
    let pages: Vec<String> = pages.iter().map(|page| literal(page)).collect();
    // What the browser shows as a name, character by character as numbers; what it should not have, as the word `odd`.
    let wrapper = format!(
        "<body><p id=result></p><script>
        const pages = [{}];
        const told = pages.map(() => '');
        pages.forEach((page, index) => {{
          const frame = document.createElement('iframe');
          frame.onload = () => {{
            const shown = frame.contentDocument;
            const numbers = (element) => Array.from(element.textContent, (c) => c.codePointAt(0)).join(' ');
            const odd = Array.from(shown.querySelectorAll('*')).filter((element) =>
              ['script', 'img', 'iframe', 'a'].includes(element.localName)
              || Array.from(element.attributes).some((attribute) => attribute.name.startsWith('on')));
            told[index] = Array.from(shown.querySelectorAll('[data-comm]'), numbers)
              .concat(odd.map(() => 'odd')).join(',');
            document.getElementById('result').textContent = told.join(';');
          }};
          frame.srcdoc = page;
          document.body.append(frame);
        }});
        </script>",
        pages.join(",")
    );
    let folder = TempDir::new().unwrap();
    let Some((dom, _)) = browsed(folder.path(), &wrapper) else { return };
    let result = dom.split_once("id=\"result\">").unwrap().1.split_once('<').unwrap().0;
    let name = |numbers: &str| -> String {
        let number = |number: &str| number.parse().ok().and_then(char::from_u32);
        numbers.split(' ').map(|one| number(one).unwrap_or_else(|| panic!("{one}"))).collect()
    };
    let shown: Vec<String> = result.split([',', ';']).map(name).collect();
    assert_eq!(shown.len(), names.len());
    for (shown, name) in shown.iter().zip(&names) {
        assert_eq!(*shown, clean(name), "seed {:#x}: {name:?}", hostile::SEED);
    }
}
