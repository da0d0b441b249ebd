//! Tests of the verdicts on a clock, and of what is kept of them.

use crate::engine::clock::*;

const HOUR: i64 = 3_600 * 1_000_000;
const DAY: i64 = 24 * HOUR;
const YEAR: i64 = 365 * DAY;
const START: i64 = 1_000 * DAY;
const GRACE: Duration = Duration::from_secs(3_600);

fn hours(count: i64) -> Duration {
    Duration::from_micros((count * HOUR) as u64)
}

fn saved(log_time: i64, agreed_micros: u64, wall: i64) -> ClockState {
    ClockState { log_time, agreed_micros, wall }
}

fn at_start() -> Course {
    Course::begin(Some(saved(START, 0, START)), Duration::ZERO)
}

/// Looks at a wall clock that is `offset` from the monotonic one, at each of the hours; the last one makes the reading.
fn watched(course: &Course, offset: i64, at: &[i64]) -> (Course, Reading) {
    let (mut course, mut now) = (*course, (0, Duration::ZERO));
    for &hour in at {
        now = (START + offset + hour * HOUR, hours(hour));
        course = course.observed(now.0, now.1, GRACE);
    }
    (course, course.reading(now.0, now.1, GRACE))
}

#[test]
fn a_reading_says_what_is_hidden_removed_and_written_by() {
    for (offset, hour, hidden_by, written, removes) in [
        (0, 0, START, START, true),
        (0, 5, START + 5 * HOUR, START + 5 * HOUR, true),
        (DAY, 5, START + DAY + 5 * HOUR, START + DAY + 5 * HOUR, true),
        (DAY + 1, 5, START + DAY + 1 + 5 * HOUR, START + 5 * HOUR, false),
        (YEAR, 5, START + YEAR + 5 * HOUR, START + 5 * HOUR, false),
        (-3 * HOUR, 1, START, START - 2 * HOUR, true),
        (-DAY, 5, START, START - DAY + 5 * HOUR, true),
        (-DAY - 1, 5, START, START - DAY - 1 + 5 * HOUR, false),
        (-YEAR, 5, START, START - YEAR + 5 * HOUR, false),
    ] {
        let (_, reading) = watched(&at_start(), offset, &[hour]);
        let found = (reading.query_time, reading.frame_clock, reading.removal_time());
        assert_eq!(found, (hidden_by, written, removes.then_some(hidden_by)), "{offset} {hour}");
    }
}

#[test]
fn no_frame_raises_log_time_by_more_than_a_day_over_the_expected_time() {
    let mut course = at_start();
    for (round, offset) in [YEAR, 10 * YEAR, DAY + 1, -YEAR, i64::MAX / 2, 0].into_iter().enumerate() {
        let hour = round as i64 + 1;
        let (seen, reading) = watched(&course, offset, &[hour]);
        course = seen.with_frame(reading.frame_clock, reading.monotonic);
        let expected = START + hour * HOUR;
        assert!(course.log_time.unwrap() <= expected, "{offset}: {course:?}");
        let (_, later) = watched(&course, YEAR / 2, &[hour]);
        assert_eq!(later.frame_clock, expected, "the course goes on as if nothing had jumped: {offset}");
    }
    assert_eq!(course.log_time.unwrap(), START + 6 * HOUR);
}

#[test]
fn a_jump_is_believed_after_the_grace_and_not_if_it_ends_or_begins_anew() {
    let (course, reading) = watched(&at_start(), YEAR, &[10]);
    assert_eq!((course.agreed(), reading.removal_time()), (0, None), "it was just seen");
    let half = (START + YEAR + 10 * HOUR + HOUR / 2, hours(10) + GRACE / 2);
    let course = course.observed(half.0, half.1, GRACE);
    assert_eq!(course.state(), Some(saved(START, HOUR as u64 / 2, half.0)));
    let (believed, reading) = watched(&course, YEAR, &[11]);
    let log_time = START + YEAR + 11 * HOUR;
    assert_eq!(believed.state(), Some(saved(log_time, 0, log_time)));
    assert_eq!(reading.removal_time(), Some(START + YEAR + 11 * HOUR));
    // Slewed by less than a minute, it still agrees.
    let (slewed, _) = watched(&course, YEAR + AGREEMENT, &[11]);
    assert_eq!(slewed.log_time.unwrap(), START + YEAR + AGREEMENT + 11 * HOUR);
    for (offset, why) in [(YEAR + AGREEMENT + 1, "a further jump"), (YEAR / 2, "a correction that is none")] {
        let (anew, reading) = watched(&course, offset, &[11]);
        assert_eq!((anew.agreed(), anew.log_time, reading.removal_time()), (0, Some(START), None), "{why}");
    }
    let (over, reading) = watched(&course, DAY, &[11]);
    assert_eq!((over.jump, over.carried), (None, 0));
    assert!(reading.removal_time().is_some());
}

#[test]
fn the_grace_sums_over_opens_and_a_right_clock_in_between_ends_it() {
    let state = |agreed_micros, wall| Some(saved(START, agreed_micros, wall));
    let (mut agreed, mut opens) = (0, 0);
    // Ten minutes an open, with days in between that nobody counts.
    let believed = loop {
        opens += 1;
        let wall = START + YEAR + opens * DAY;
        let course = Course::begin(state(agreed, wall), Duration::ZERO).observed(wall, Duration::ZERO, GRACE);
        assert_eq!(course.agreed(), agreed, "to open takes no time");
        let later = course.observed(wall + HOUR / 6, GRACE / 6, GRACE);
        if later.log_time.unwrap() != START {
            break later;
        }
        agreed = later.agreed();
    };
    assert_eq!((opens, believed.log_time.unwrap()), (6, START + YEAR + 6 * DAY + HOUR / 6));
    let right = Course::begin(state(HOUR as u64 / 2, START), Duration::ZERO).observed(START, Duration::ZERO, GRACE);
    assert_eq!(right.agreed(), 0);
    // An hour and more was seen by others; what is seen at the open, and where the clock has gone back or is off the
    // other way.
    let most = HOUR as u64 - HOUR as u64 / SAVED_PARTS;
    for (seen_wall, wall, agreed) in [
        (START + YEAR, START + YEAR, most),
        (START + YEAR, START + 2 * YEAR, most),
        (START + YEAR, START + YEAR - 1, 0),
        (START - YEAR, START - YEAR, most),
        (START - YEAR, START - YEAR - 1, 0),
        (START - YEAR, START + YEAR, 0),
        (START + YEAR, START - YEAR, 0),
    ] {
        let course = Course::begin(state(2 * HOUR as u64, seen_wall), Duration::ZERO);
        let course = course.observed(wall, Duration::ZERO, GRACE);
        assert_eq!((course.agreed(), course.log_time), (agreed, Some(START)), "{seen_wall} {wall}");
    }
}

#[test]
fn a_clock_that_is_behind_removes_nothing_until_it_is_believed() {
    let (course, reading) = watched(&at_start(), -YEAR, &[0]);
    assert_eq!((reading.query_time, reading.removal_time()), (START, None));
    assert_eq!(
        reading.describe(),
        "log time is 365.0 days ahead of the wall clock, which has agreed for 0 s of 60 min; accept_clock sets it right"
    );
    assert!(reading.check_removal().unwrap_err().to_string().contains("365.0 days behind"));
    let (believed, reading) = watched(&course, -YEAR, &[1]);
    let wall = START - YEAR + HOUR;
    assert_eq!((believed.log_time, reading.query_time, reading.removal_time()), (Some(wall), wall, Some(wall)));
}

#[test]
fn an_accepted_clock_is_log_time_in_both_directions() {
    for wall in [START + YEAR, START - YEAR] {
        let course = at_start().accepted(wall, hours(3));
        let reading = course.reading(wall + HOUR, hours(4), GRACE);
        assert_eq!((reading.query_time, reading.removal_time()), (wall + HOUR, Some(wall + HOUR)));
    }
}

#[test]
fn what_only_a_manifest_can_keep_is_known_until_one_does() {
    let machine = crate::storage::sim::SimClock::new(START);
    let recovered = Some(saved(START, 0, START));
    let clock = StoreClock::new(Arc::new(machine.clone()), GRACE, recovered);
    assert!(!clock.is_unsaved(), "a right clock is worth no manifest");
    machine.set(START + YEAR);
    clock.reading();
    machine.advance(GRACE / 64);
    clock.reading();
    assert!(!clock.is_unsaved(), "too little to keep");
    machine.advance(GRACE / 64);
    clock.reading();
    assert!(clock.is_unsaved());
    clock.note_saved(clock.state());
    assert!(!clock.is_unsaved());
    machine.set(START);
    clock.reading();
    assert!(clock.is_unsaved(), "the next open must not go on with that");
    clock.note_saved(clock.state());
    clock.accept();
    assert!(clock.is_unsaved());
    clock.note_saved(clock.state());
    assert!(!clock.is_unsaved());
}

#[test]
fn a_store_without_a_frame_takes_its_clock_from_the_first_one() {
    let new = Course::begin(None, Duration::ZERO);
    for wall in [START + YEAR, START] {
        let course = new.observed(wall, hours(1), GRACE);
        let reading = course.reading(wall, hours(1), GRACE);
        assert_eq!((reading.query_time, reading.frame_clock, reading.removal_time()), (wall, wall, Some(wall)));
        assert_eq!(course.state(), None);
        assert_eq!(course.with_frame(wall, hours(1)).log_time, Some(wall));
    }
}

#[test]
fn extreme_clocks_overflow_nothing() {
    for wall in [i64::MIN, -1, 0, i64::MAX] {
        for log_time in [i64::MIN, 0, i64::MAX] {
            let state = Some(saved(log_time, u64::MAX, wall));
            for monotonic in [Duration::ZERO, Duration::MAX] {
                let course = Course::begin(state, Duration::ZERO).observed(wall, monotonic, GRACE);
                let reading = course.reading(wall, monotonic, GRACE);
                assert!(reading.query_time >= wall);
                let _ = (reading.check_removal(), reading.describe(), course.accepted(wall, monotonic));
            }
        }
    }
}
