//! Prints `docs/diagnoses.md`.

fn main() {
    print!("{}", portwatch::diagnose::document());
}
