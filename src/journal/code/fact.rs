//! What stands in a store: records, and what is known of what was before them.

use super::input::{Input, Names};
use super::output::Output;
use super::{Malformed, entry};
use crate::journal::forgotten::Times;
use crate::journal::store::{Attempt, Fact, LastLine, Record, Restart, Standing};

const RECORD: u8 = 1;
const WORKLOAD: u8 = 2;
const ATTEMPT: u8 = 3;
const RESTART: u8 = 4;

/// Appends a fact to `out`.
pub(crate) fn write(out: &mut Vec<u8>, fact: &Fact) {
    let mut out = Output(out);
    match fact {
        Fact::Record(Record { first, workload, appended, lines_before, entry }) => {
            out.byte(RECORD);
            out.number(*first);
            out.signed(*appended);
            out.number(*lines_before);
            out.workload(workload);
            entry::write(&mut out, entry);
        }
        Fact::Workload(Standing { workload, last, lines, times }) => {
            out.byte(WORKLOAD);
            out.workload(workload);
            out.number(*last);
            out.number(*lines);
            out.maybe(*times, |out, times| {
                out.signed(times.oldest);
                out.signed(times.newest);
            });
        }
        Fact::Attempt(Attempt { source, line, changed, ended }) => {
            out.byte(ATTEMPT);
            out.source(source);
            out.maybe(*line, |out, LastLine { seq, time, ordinal }| {
                out.number(seq);
                out.signed(time);
                out.number(u64::from(ordinal));
            });
            out.number(*changed);
            out.flag(*ended);
        }
        Fact::Restart(Restart { after, through, workloads }) => {
            out.byte(RESTART);
            out.number(*after);
            out.number(*through);
            out.number(workloads.len() as u64);
            for workload in workloads {
                out.workload(workload);
            }
        }
    }
}

/// Reads the fact that `bytes` are.
///
/// # Errors
/// If they are none, or something follows it.
pub(crate) fn read(bytes: &[u8], names: &mut Names) -> Result<Fact, Malformed> {
    let mut input = Input(bytes);
    let fact = match input.byte()? {
        RECORD => {
            let (first, appended, lines_before) =
                (input.number()?, input.signed()?, input.number()?);
            let workload = input.workload(names)?;
            let entry = entry::read(&mut input, names)?;
            let fits = first > 0
                && first.checked_add(entry.count()).is_some()
                && lines_before.checked_add(entry.count()).is_some();
            if !fits {
                return Err(Malformed);
            }
            Fact::Record(Record { first, workload, appended, lines_before, entry })
        }
        WORKLOAD => Fact::Workload(Standing {
            workload: input.workload(names)?,
            last: input.number()?,
            lines: input.number()?,
            times: input
                .maybe(|input| Ok(Times { oldest: input.signed()?, newest: input.signed()? }))?,
        }),
        ATTEMPT => Fact::Attempt(Attempt {
            source: input.source(names)?,
            line: input.maybe(|input| {
                let (seq, time) = (input.number()?, input.signed()?);
                Ok(LastLine { seq, time, ordinal: input.small()? })
            })?,
            changed: input.number()?,
            ended: input.flag()?,
        }),
        RESTART => Fact::Restart(Restart {
            after: input.number()?,
            through: input.number()?,
            workloads: input.list(|input| input.workload(names))?,
        }),
        _ => return Err(Malformed),
    };
    if input.is_empty() { Ok(fact) } else { Err(Malformed) }
}
