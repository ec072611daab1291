//! Time zones by name, from the zone database that is compiled in: no machine's zone files are read.

use std::ops::Range;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::{Function, null, strict, take, typed, want_args};
use crate::sql::bind::{Bound, Typed, error_with_help, implicit};
use crate::sql::eval::date_out_of_range;
use crate::sql::{EvalError, Type, Value, datetime};

pub const TABLE: &[Function] = &[typed(&["timezone"], "timezone(zone, TIMESTAMP or TIMESTAMPTZ)", timezone)];

static ZONES: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);

/// The zone of a name such as `Europe/Berlin`, whatever its case.
pub fn zone(name: &str) -> Result<TimeZone, EvalError> {
    ZONES.get(name).map_err(|_| EvalError(format!("no time zone '{name}'; zones are named as in `Europe/Berlin`")))
}

/// What a clock in the zone shows at a moment; both in microseconds.
pub fn local(at: i64, zone: &TimeZone) -> Result<i64, EvalError> {
    if !datetime::is_finite(at) {
        return Ok(at);
    }
    let moment = Timestamp::from_microsecond(at).map_err(|_| date_out_of_range())?;
    at.checked_add(zone.to_offset(moment).seconds() as i64 * 1_000_000).ok_or_else(date_out_of_range)
}

/// The moment at which a clock in the zone shows this; of two the later, and in a gap with the offset before it, as
/// ICU has it.
pub fn moment(local: i64, zone: &TimeZone) -> Result<i64, EvalError> {
    if !datetime::is_finite(local) {
        return Ok(local);
    }
    let shown = || {
        let (year, month, day) = datetime::civil_of(datetime::date_of(local) as i64);
        let time = datetime::time_of(local);
        let seconds = time / 1_000_000;
        let (hour, minute, second) = ((seconds / 3600) as i8, (seconds / 60 % 60) as i8, (seconds % 60) as i8);
        let (year, month, day) = (i16::try_from(year).ok()?, i8::try_from(month).ok()?, i8::try_from(day).ok()?);
        let shown = DateTime::new(year, month, day, hour, minute, second, (time % 1_000_000 * 1000) as i32).ok()?;
        zone.to_ambiguous_timestamp(shown).later().ok()
    };
    shown().map(|moment| moment.as_microsecond()).ok_or_else(date_out_of_range)
}

/// `timezone(zone, at)`, which is `at AT TIME ZONE zone`; with one argument the offset from UTC.
fn timezone(args: Vec<Typed>, span: &Range<usize>) -> Bound {
    want_args(&args, 1..=2, span)?;
    if args.len() == 1 {
        return super::temporal::part_of("timezone", args, span);
    }
    let mut args = args.into_iter();
    let name = implicit(take(&mut args, span)?, &Type::Varchar, "the time zone")?;
    let of = take(&mut args, span)?;
    if let Some(text) = name.constant_text() {
        zone(text).map_err(|e| error_with_help(e.0, "names are those of the IANA time zone database", &name.span))?;
    }
    let (of, ty) = match of.ty {
        Type::TimestampTz => (of, Type::Timestamp),
        Type::Null => return Ok(null(Type::TimestampTz, span)),
        _ => (implicit(of, &Type::Timestamp, "the timestamp")?, Type::TimestampTz),
    };
    let to_local = ty == Type::Timestamp;
    Ok(strict(vec![name, of], ty, span, move |args| {
        let (Some(Value::Text(name)), Some(Value::Timestamp(at))) = (args.first(), args.get(1)) else { return Ok(Value::Null) };
        let zone = zone(name)?;
        if to_local { local(*at, &zone) } else { moment(*at, &zone) }.map(Value::Timestamp)
    }))
}
