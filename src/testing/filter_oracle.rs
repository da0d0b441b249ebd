//! A plain second implementation of the filter language, directly on JSON. The tests of filters and their fuzz body
//! compare results with it. It panics on a filter that the parser refuses.

use std::cmp::Ordering;

use serde_json::Value;

use crate::types::Item;

/// Whether the filter holds for `item`, whose value is `document`.
pub fn whole(filter: &Value, document: &Value, item: &Item) -> bool {
    filter.as_object().unwrap().iter().all(|(key, operand)| match key.as_str() {
        "$and" => operand.as_array().unwrap().iter().all(|part| whole(part, document, item)),
        "$or" => operand.as_array().unwrap().iter().any(|part| whole(part, document, item)),
        "$not" => !whole(operand, document, item),
        "$item" => operand.as_object().unwrap().iter().all(|(fact, test)| match fact.as_str() {
            "created_at" => test_time(test, Some(item.created_at)),
            "updated_at" => test_time(test, Some(item.updated_at)),
            "expires_at" => test_time(test, item.expires_at),
            "key" => test_key(test, &item.key),
            other => panic!("{other}"),
        }),
        _ => test(operand, lookup(key, document)),
    })
}

fn test_time(test: &Value, micros: Option<i64>) -> bool {
    test.as_object().unwrap().iter().all(|(operator, operand)| {
        if operator == "$exists" {
            return operand.as_bool().unwrap() == micros.is_some();
        }
        let bound = match operand.as_i64() {
            Some(micros) => i128::from(micros) * 1_000,
            None => instant(operand["$date"].as_str().unwrap()).unwrap(),
        };
        let Some(micros) = micros else { return operator == "$ne" };
        ranges(operator, Some((i128::from(micros) * 1_000).cmp(&bound)))
    })
}

fn test_key(test: &Value, key: &str) -> bool {
    let Some(tests) = test.as_object() else { return test == key };
    tests.iter().all(|(operator, operand)| match operator.as_str() {
        "$eq" => operand == key,
        "$ne" => operand != key,
        "$in" => operand.as_array().unwrap().iter().any(|one| one == key),
        "$nin" => !operand.as_array().unwrap().iter().any(|one| one == key),
        "$starts_with" => key.starts_with(operand.as_str().unwrap()),
        other => panic!("{other}"),
    })
}

fn ranges(operator: &str, order: Option<Ordering>) -> bool {
    match operator {
        "$eq" => order == Some(Ordering::Equal),
        "$ne" => order != Some(Ordering::Equal),
        "$gt" => order == Some(Ordering::Greater),
        "$gte" => order.is_some_and(Ordering::is_ge),
        "$lt" => order == Some(Ordering::Less),
        "$lte" => order.is_some_and(Ordering::is_le),
        other => panic!("{other}"),
    }
}

fn lookup<'v>(key: &str, document: &'v Value) -> Option<&'v Value> {
    document.get(key).or_else(|| {
        let path: Vec<&str> = key.split('.').collect();
        if path.len() == 1 { None } else { path.into_iter().try_fold(document, |value, key| value.get(key)) }
    })
}

fn test(operand: &Value, value: Option<&Value>) -> bool {
    let compared = value.unwrap_or(&Value::Null);
    let entries = match operand.as_object() {
        Some(entries) if !entries.contains_key("$date") => entries,
        _ => return equal(operand, compared),
    };
    let fields: Vec<_> = entries.keys().filter(|key| !key.starts_with('$')).collect();
    let object_holds = (entries.len() > fields.len() && fields.is_empty())
        || value.is_some_and(|value| {
            value.is_object() && fields.iter().all(|key| test(&entries[*key], lookup(key, value)))
        });
    object_holds
        && entries.iter().filter(|(key, _)| key.starts_with('$')).all(|(operator, operand)| match operator.as_str() {
            "$and" => operand.as_array().unwrap().iter().all(|part| test(part, value)),
            "$or" => operand.as_array().unwrap().iter().any(|part| test(part, value)),
            "$not" => !test(operand, value),
            "$eq" => equal(operand, compared),
            "$ne" => !equal(operand, compared),
            "$in" => operand.as_array().unwrap().iter().any(|one| equal(one, compared)),
            "$nin" => !operand.as_array().unwrap().iter().any(|one| equal(one, compared)),
            "$exists" => operand.as_bool().unwrap() == value.is_some(),
            "$contains" => match compared {
                Value::Array(elements) => elements.iter().any(|element| equal(operand, element)),
                Value::String(text) => operand.as_str().is_some_and(|part| text.contains(part)),
                _ => false,
            },
            "$ieq" => compared.as_str().is_some_and(|text| small(text) == small(operand.as_str().unwrap())),
            "$starts_with" => compared.as_str().is_some_and(|text| text.starts_with(operand.as_str().unwrap())),
            "$all" => compared.as_array().is_some_and(|elements| {
                let found = |wanted| elements.iter().any(|element| equal(wanted, element));
                operand.as_array().unwrap().iter().all(found)
            }),
            "$size" => compared.as_array().is_some_and(|elements| {
                let size = |bound: &Value| Some((elements.len() as f64).total_cmp(&bound.as_f64().unwrap()));
                match operand.as_object() {
                    Some(bounds) => bounds.iter().all(|(operator, bound)| ranges(operator, size(bound))),
                    None => ranges("$eq", size(operand)),
                }
            }),
            "$elem_match" => {
                compared.as_array().is_some_and(|elements| elements.iter().any(|one| test(operand, Some(one))))
            }
            range => ranges(range, order(compared, operand)),
        })
}

fn small(text: &str) -> String {
    text.chars().flat_map(char::to_lowercase).collect()
}

/// Whether `b` is equal to the literal `a`.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        _ if a.get("$date").is_some() => order(b, a) == Some(Ordering::Equal),
        (Value::Number(_), Value::Number(_)) => order(a, b) == Some(Ordering::Equal),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

/// The order of the value `a` and the literal `b`.
fn order(a: &Value, b: &Value) -> Option<Ordering> {
    if let Some(date) = b.get("$date") {
        return Some(instant(a.as_str()?)?.cmp(&instant(date.as_str()?)?));
    }
    match (a, b) {
        (Value::String(a), Value::String(b)) => Some(a.chars().cmp(b.chars())),
        (Value::Number(_), Value::Number(_)) => Some(match (integer(a), integer(b)) {
            (Some(a), Some(b)) => a.cmp(&b),
            (Some(a), None) => integer_to_float(a, b.as_f64().unwrap()),
            (None, Some(b)) => integer_to_float(b, a.as_f64().unwrap()).reverse(),
            (None, None) => a.as_f64().unwrap().partial_cmp(&b.as_f64().unwrap()).unwrap(),
        }),
        _ => None,
    }
}

fn integer(value: &Value) -> Option<i128> {
    value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from))
}

fn integer_to_float(integer: i128, float: f64) -> Ordering {
    let floor = float.floor() as i128;
    match integer.cmp(&floor) {
        Ordering::Equal if float.floor() < float => Ordering::Less,
        order => order,
    }
}

/// Nanoseconds since 1970 UTC: a day alone, or a day, a time and an offset. Days are counted one year and one month
/// after the other.
pub fn instant(text: &str) -> Option<i128> {
    let digits = |text: &str, length: std::ops::RangeInclusive<usize>| {
        let fits = length.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        fits.then(|| text.parse::<i128>().unwrap())
    };
    let (date, time) = if text.len() == 10 { (text, "00:00:00Z") } else { (text.get(..10)?, text.get(11..)?) };
    if text.len() > 10 && !"Tt ".contains(text.get(10..11)?) {
        return None;
    }
    let [year, month, day] = date.split('-').collect::<Vec<_>>().try_into().ok()?;
    let (year, month, day) = (digits(year, 4..=4)?, digits(month, 2..=2)?, digits(day, 2..=2)?);
    let leap = |year: i128| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let length = |month| match month {
        4 | 6 | 9 | 11 => 30,
        2 => 28 + i128::from(leap(year)),
        _ => 31,
    };
    if !(1..=12).contains(&month) || !(1..=length(month)).contains(&day) {
        return None;
    }
    let years: i128 = match year {
        1970.. => (1970..year).map(|year| 365 + i128::from(leap(year))).sum(),
        _ => -(year..1970).map(|year| 365 + i128::from(leap(year))).sum::<i128>(),
    };
    let days = years + (1..month).map(length).sum::<i128>() + day - 1;
    let (time, offset) = match time.strip_suffix(['Z', 'z']) {
        Some(time) => (time, 0),
        None => {
            let at = time.rfind(['+', '-'])?;
            let (hours, minutes) = time.get(at + 1..)?.split_once(':')?;
            let (hours, minutes) = (digits(hours, 2..=2)?, digits(minutes, 2..=2)?);
            let sign = if time.as_bytes()[at] == b'-' { -1 } else { 1 };
            if hours > 23 || minutes > 59 {
                return None;
            }
            (&time[..at], sign * (hours * 60 + minutes))
        }
    };
    let [hour, minute, second] = time.split(':').collect::<Vec<_>>().try_into().ok()?;
    let (second, nanos) = match second.split_once('.') {
        Some((second, fraction)) => (second, digits(fraction, 1..=9)? * 10i128.pow(9 - fraction.len() as u32)),
        None => (second, 0),
    };
    let (hour, minute, second) = (digits(hour, 2..=2)?, digits(minute, 2..=2)?, digits(second, 2..=2)?);
    let minute_of_day = hour * 60 + minute - offset;
    if hour > 23 || minute > 59 || second > 60 || (second == 60 && minute_of_day.rem_euclid(1440) != 1439) {
        return None;
    }
    Some(((days * 1440 + minute_of_day) * 60 + second) * 1_000_000_000 + nanos)
}
