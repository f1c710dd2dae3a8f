//! `portwatch serve`: live, told to who asks for metrics, and printed nowhere.

use anyhow::Result;

use super::args::ServeArgs;
use super::metrics::Endpoint;
use super::session::{Pace, Session};
use super::stop::stop;
use super::{Outcome, on_runtime};

pub(super) fn run(args: &ServeArgs) -> Result<Outcome> {
    on_runtime(serve(args))?;
    Ok(Outcome::Done)
}

async fn serve(args: &ServeArgs) -> Result<()> {
    let stop = stop(args.live.duration, false)?;
    let endpoint = Endpoint::open(args.listen)?;
    let pace = Endpoint::pace(Some(&endpoint), Pace::default());
    let session = Session::begin(&args.live, pace, stop)?;
    let words = Endpoint::words(Some(&endpoint));
    let mut served = endpoint.serve(args.group_by.into())?;
    session.confine(false);
    session.say_ready(&words);
    session.run(&mut [served.sink()]).await.detach()?;
    Ok(())
}
