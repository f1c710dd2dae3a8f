//! How the page looks: on screens of any width, light and dark, and on paper.
//!
//! Colours of lines are those of Okabe and Ito, which people tell apart however they see colours; each line has a pattern
//! of dashes and a letter as well.

/// The style sheet.
pub(super) const STYLE: &str = r#"
:root {
  color-scheme: light dark;
  --paper: #ffffff; --ground: #f4f5f7; --ink: #1b1f24; --faint: #59636e; --rule: #d9dee4; --soft: #eef1f4;
  --accent: #0b5cad; --bad: #b3261e; --bad-soft: #fdf0ee; --warn: #8a5a00; --warn-soft: #fff6df; --good: #0a6b4f;
  --bar: #0072b2;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #a6508a; --c4: #2b8cc4; --c5: #b87700; --c6: #444b54; --c7: #8a8000;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #171b21; --ground: #0f1216; --ink: #e8ebef; --faint: #a0a9b4; --rule: #303741; --soft: #20262e;
    --accent: #7cb8f5; --bad: #ff8f85; --bad-soft: #2c1a1a; --warn: #f0c05a; --warn-soft: #2a2414; --good: #58c9a3;
    --bar: #56b4e9;
    --c0: #56b4e9; --c1: #f08a4b; --c2: #2fc79a; --c3: #e09ac4; --c4: #8fd0f5; --c5: #e69f00; --c6: #d3d8de; --c7: #f0e442;
  }
}
@media print {
  :root {
    color-scheme: light;
    --paper: #ffffff; --ground: #ffffff; --ink: #000000; --faint: #444444; --rule: #bbbbbb; --soft: #f3f3f3;
    --accent: #0b5cad; --bad: #b3261e; --bad-soft: #ffffff; --warn: #8a5a00; --warn-soft: #ffffff; --good: #0a6b4f;
    --bar: #0072b2;
    --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #a6508a; --c4: #2b8cc4; --c5: #b87700; --c6: #444b54; --c7: #8a8000;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; text-size-adjust: 100%; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Helvetica Neue", sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: anywhere;
}
main { max-width: 1080px; margin: 0 auto; padding: 40px 24px 64px; }
header { margin-bottom: 28px; }
.eyebrow { margin: 0 0 6px; color: var(--faint); font-size: 13px; letter-spacing: .06em; text-transform: uppercase; }
h1 { margin: 0; font-size: 32px; line-height: 1.2; letter-spacing: -.015em; font-weight: 650; text-wrap: balance; }
.lead { margin: 12px 0 0; font-size: 18px; max-width: 46em; }
.where { margin: 12px 0 0; color: var(--faint); font-size: 14px; }
h2 { margin: 0 0 14px; font-size: 20px; line-height: 1.3; letter-spacing: -.01em; font-weight: 650; }
h3 { margin: 0 0 4px; font-size: 16px; line-height: 1.4; font-weight: 650; }
h4 { margin: 20px 0 8px; font-size: 13px; font-weight: 600; color: var(--faint); letter-spacing: .03em; text-transform: uppercase; }
p { margin: 0 0 10px; }
a { color: var(--accent); }
code, .code { font: .87em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; }
section { margin: 0 0 20px; padding: 24px; background: var(--paper); border: 1px solid var(--rule); border-radius: 10px; }
.note { margin: 0 0 14px; color: var(--faint); font-size: 14px; max-width: 60em; }
.figures { display: flex; flex-wrap: wrap; gap: 1px; margin: 0 0 20px; padding: 0;
  background: var(--rule); border: 1px solid var(--rule); border-radius: 10px; overflow: hidden; }
.figures div { flex: 1 1 120px; padding: 16px 20px; background: var(--paper); }
.figures dt { color: var(--faint); font-size: 13px; }
.figures dd { margin: 2px 0 0; font-size: 24px; line-height: 1.25; font-weight: 600; letter-spacing: -.01em; }
.banner { background: var(--warn-soft); border-color: var(--warn); }
.banner h2 { color: var(--warn); font-size: 17px; margin-bottom: 8px; }
ul.plain { margin: 0; padding-left: 20px; }
ul.plain li { margin: 3px 0; }
.verdict { padding: 20px 0 4px; border-top: 1px solid var(--rule); }
.verdict:first-of-type { padding-top: 0; border-top: 0; }
.verdict h3 { font-size: 18px; }
.verdict .meta { margin: 0 0 14px; color: var(--faint); font-size: 14px; }
.evidence { margin: 0 0 4px; padding: 0; list-style: none; }
.evidence li { display: grid; grid-template-columns: 58px 1fr; gap: 12px; margin: 0 0 8px; }
.evidence .weight { align-self: start; padding: 2px 0; border-radius: 6px; background: var(--bad-soft); color: var(--bad); font-size: 13px;
  font-weight: 600; text-align: center; }
.advice { margin: 0; padding: 0; list-style: none; }
.advice > li { position: relative; margin: 0 0 12px; padding-left: 30px; }
.advice .mark { position: absolute; left: 0; top: 2px; width: 20px; height: 20px; border-radius: 50%; color: var(--paper); font-size: 13px;
  line-height: 20px; text-align: center; font-weight: 700; }
.helps .mark { background: var(--good); } .not .mark { background: var(--faint); } .harms .mark { background: var(--bad); }
.again { color: var(--faint); font-size: 14px; }
.advice b { font-weight: 600; }
.advice .how { display: block; margin: 6px 0; padding: 8px 12px; background: var(--soft); border-radius: 6px; white-space: pre-wrap; }
.advice .but { color: var(--faint); }
figure { margin: 0 0 8px; }
figure svg { display: block; width: 100%; height: auto; overflow: visible; }
svg.narrow { display: none; max-width: 520px; }
svg text { fill: var(--faint); font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; font-variant-numeric: tabular-nums; }
svg .grid { stroke: var(--rule); stroke-width: 1; fill: none; shape-rendering: crispEdges; }
svg .base { stroke: var(--faint); stroke-width: 1; shape-rendering: crispEdges; }
svg .full { stroke: var(--bad); stroke-width: 1; stroke-dasharray: 3 3; }
svg .bars { fill: var(--bar); shape-rendering: crispEdges; }
svg .change { stroke: var(--warn); stroke-width: 1.5; stroke-dasharray: 2 3; }
svg text.change { stroke: none; fill: var(--warn); font-weight: 700; }
svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
svg text.letter { font-weight: 700; }
.strip { margin: 14px 0 0; }
.strip figcaption { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 16px; font-size: 14px; }
.strip figcaption .count { color: var(--faint); }
.legend { margin: 12px 0 0; padding: 0; list-style: none; display: grid; gap: 6px; font-size: 14px; }
.legend li { display: grid; grid-template-columns: 48px 22px 1fr auto; gap: 8px; align-items: center; }
.legend svg { width: 44px; height: 10px; }
.legend b { text-align: center; }
.legend .peak { color: var(--faint); white-space: nowrap; }
table { width: 100%; border-collapse: collapse; font-size: 14px; }
th { padding: 6px 10px 6px 0; border-bottom: 1px solid var(--rule); color: var(--faint); font-size: 13px; font-weight: 500; text-align: left;
  vertical-align: bottom; }
td { padding: 8px 10px 8px 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top; }
tr:last-child td { border-bottom: 0; }
th.n, td.n { text-align: right; white-space: nowrap; }
td.n, td.time { white-space: nowrap; }
th { overflow-wrap: normal; } .tight { white-space: nowrap; }
th:last-child, td:last-child { padding-right: 0; }
td .sub { display: block; color: var(--faint); font-size: 13px; }
td .sub.code { font-size: 12px; }
tr.others td { color: var(--faint); }
.share { display: inline-block; width: 64px; height: 8px; margin-right: 8px; border-radius: 2px; background: var(--soft); overflow: hidden; }
.share i { display: block; height: 100%; background: var(--bar); }
.tables > * + * { margin-top: 28px; }
details { margin-top: 10px; } summary { color: var(--accent); cursor: pointer; font-size: 14px; }
.held { padding: 18px 0 0; border-top: 1px solid var(--rule); margin-top: 18px; }
.held:first-of-type { padding-top: 0; border-top: 0; margin-top: 0; }
.held .meta { color: var(--faint); font-size: 14px; margin: 0 0 8px; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: 4px 20px; margin: 0; font-size: 14px; }
.facts dt { color: var(--faint); } .facts dd { margin: 0; }
footer { color: var(--faint); font-size: 13px; margin-top: 28px; }
@media (max-width: 720px) {
  main { padding: 24px 12px 40px; }
  section { padding: 18px 16px; }
  h1 { font-size: 25px; } .lead { font-size: 16px; }
  .figures div { flex-basis: 40%; padding: 12px 16px; } .figures dd { font-size: 20px; }
  svg.wide { display: none; } svg.narrow { display: block; }
  .evidence li { grid-template-columns: 1fr; gap: 4px; } .evidence .weight { justify-self: start; padding: 2px 10px; }
  .legend li { grid-template-columns: 48px 18px 1fr; } .legend .peak { grid-column: 3; white-space: normal; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, tbody, tr, td { display: block; width: 100%; }
  tr { padding: 10px 0; border-bottom: 1px solid var(--rule); }
  tr:last-child { border-bottom: 0; }
  td, td.n, td.time { display: grid; grid-template-columns: 104px 1fr; gap: 10px; padding: 2px 0; border: 0; text-align: left; white-space: normal; }
  td::before { content: attr(data-label); color: var(--faint); font-size: 13px; }
  td > span { min-width: 0; }
  .facts { grid-template-columns: 1fr; gap: 0; } .facts dd { margin-bottom: 8px; }
}
@media print {
  @page { margin: 16mm 14mm; }
  body { font-size: 10.5pt; }
  main { max-width: none; padding: 0; }
  section { padding: 0; margin: 0 0 18pt; border: 0; border-radius: 0; }
  .figures { break-inside: avoid; } .figures div { padding: 8pt 10pt; } .figures dd { font-size: 14pt; white-space: nowrap; } .banner { padding: 10pt; border: 1px solid var(--warn); }
  h2 { border-bottom: 1px solid var(--rule); padding-bottom: 3pt; }
  h2, h3, h4 { break-after: avoid; } figure, tr, .evidence li, .advice > li { break-inside: avoid; }
  svg, .share, .share i, .mark, .weight { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  a { color: inherit; text-decoration: none; }
}
"#;
