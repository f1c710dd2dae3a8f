//! Why calls failed, and what helps.
//!
//! In: verdicts, the one that explains most first. Out: a section. Sentences have names that processes chose.

use maud::{Markup, html};

use crate::diagnose::{Advice, How, Standing, counted, grouped};
use crate::sink::report::dial::Dial;
use crate::sink::report::model::{Model, Ranked};
use crate::sink::report::said::Warning;
use crate::sink::report::story::plainly;
use crate::sink::words::verdict;
use crate::term::{Paint, clean};

/// Verdicts that are shown, and warnings.
const SHOWN: usize = 12;

/// All of it.
pub(super) fn verdicts(model: &Model<'_>, dial: &Dial) -> Markup {
    let told = model.told();
    let hidden = told.len().saturating_sub(SHOWN) as u64 + model.sayings.verdicts_left_out;
    html! {
        @if !told.is_empty() {
            section #why {
                h2 { "Why, and what helps" }
                @for (index, ranked) in told.iter().take(SHOWN).enumerate() {
                    (one(model, ranked, told.get(..index).unwrap_or_default(), dial))
                }
                @if hidden > 0 { p.note { "and " (counted(hidden, "more verdict")) } }
            }
        } @else if model.ledger.failures > 0 {
            section #why {
                h2 { "Why" }
                p.note { "No look at the ports was recorded that explains these failures. This is what their errors tell:" }
                ul.plain {
                    @for sum in &model.causes.rows {
                        li { code { (sum.of.0.name()) } ": " (sum.of.0.sentence()) }
                    }
                }
            }
        }
        (warnings(model, dial))
    }
}

/// Advice that was given with one of those before is not given again.
fn one(model: &Model<'_>, ranked: &Ranked<'_>, before: &[&Ranked<'_>], dial: &Dial) -> Markup {
    let given = |advice: &Advice| {
        let diagnoses = before.iter().flat_map(|ranked| &ranked.said.verdict.diagnoses);
        diagnoses.flat_map(|diagnosis| &diagnosis.advice).any(|known| known == advice)
    };
    let said = ranked.said;
    let verdict = &said.verdict;
    let heading = verdict.cause.map_or("Ports were short", plainly);
    let mut about: Vec<String> = Vec::new();
    about.extend(model.host(said.host).map(|host| clean(&host.0)));
    about.push(verdict::place(&verdict.path));
    about.extend(Model::failed_so(ranked));
    about.push(match said.times {
        1 => format!("seen at {}", dial.second(said.last)),
        times => format!(
            "seen {} times from {} to {}",
            grouped(times),
            dial.second(said.first),
            dial.second(said.last)
        ),
    });
    html! {
        div.verdict data-cause=(verdict.cause.map_or("near", |cause| cause.name())) data-failures=(ranked.failures) {
            h3 { (super::capital(heading)) }
            p.meta { (about.join(" · ")) }
            ul.evidence {
                @for diagnosis in &verdict.diagnoses {
                    li data-rule=(diagnosis.rule) {
                        span.weight title="share of the shortage that this explains" { (percent(diagnosis.evidence.weight_permille)) }
                        span { (super::capital(&clean(diagnosis.evidence.sentence.as_bytes()))) }
                    }
                }
            }
            @for (heading, wanted) in verdict::GROUPS {
                @let group: Vec<&Advice> = verdict.diagnoses.iter().flat_map(|diagnosis| &diagnosis.advice)
                    .filter(|advice| wanted(&advice.standing)).collect();
                @if !group.is_empty() {
                    @let again: Vec<&str> = group.iter().filter(|advice| given(advice)).map(|advice| advice.what).collect();
                    h4 { (heading) }
                    ul.advice { @for advice in group.iter().filter(|advice| !given(advice)) { (self::advice(advice)) } }
                    @if !again.is_empty() { p.again { "As above: " (again.join("; ")) } }
                }
            }
        }
    }
}

fn percent(permille: u16) -> String {
    format!("{} %", (permille + 5) / 10)
}

fn advice(Advice { what, standing }: &Advice) -> Markup {
    match standing {
        Standing::Helps { how, gain, cost } => {
            let (words, is_code) = match how {
                How::Command(how) => (how.as_str(), true),
                How::Code(how) => (*how, true),
                How::Arrangement(how) => (how.as_str(), false),
            };
            // Lines of a program stay lines.
            let lines: Vec<String> = words.lines().map(|line| clean(line.as_bytes())).collect();
            html! {
                li.helps {
                    span.mark aria-hidden="true" { "✓" }
                    b { (super::capital(what)) }
                    @if is_code { code.how { (lines.join("\n")) } } @else { ": " (lines.join(" ")) br; }
                    span { (super::capital(&clean(gain.as_bytes()))) }
                    @if let Some(cost) = cost { span.but { " — but: " (clean(cost.as_bytes())) } }
                }
            }
        }
        Standing::NotHere { why } => html! {
            li.not { span.mark aria-hidden="true" { "–" } b { (super::capital(what)) } ": " (clean(why.as_bytes())) }
        },
        Standing::Harms { why } => html! {
            li.harms { span.mark aria-hidden="true" { "✗" } b { (super::capital(what)) } ": " (clean(why.as_bytes())) }
        },
    }
}

fn warnings(model: &Model<'_>, dial: &Dial) -> Markup {
    let all = &model.sayings.warnings;
    let hidden = all.len().saturating_sub(SHOWN) as u64 + model.sayings.warnings_left_out;
    html! {
        @if !all.is_empty() {
            section #warnings {
                h2 { "Warnings" }
                ul.plain {
                    @for (_, at, warning) in all.iter().take(SHOWN) {
                        @let time = dial.second(*at);
                        li {
                            @match warning {
                                Warning::Pressure(pressure) => (super::capital(&verdict::pressure(pressure, &time, Paint::Plain))),
                                Warning::Slowness(slowness) => (super::capital(&verdict::slowness(slowness, &time, Paint::Plain))),
                            }
                        }
                    }
                }
                @if hidden > 0 { p.note { "and " (counted(hidden, "more warning")) } }
            }
        }
    }
}
