//! A plain second implementation of the filter language, directly on JSON. The tests of filters and their fuzz body
//! compare results with it. It panics on a filter that the parser refuses.

use std::cmp::Ordering;

use serde_json::Value;

pub fn whole(filter: &Value, document: &Value) -> bool {
    filter.as_object().unwrap().iter().all(|(key, operand)| match key.as_str() {
        "$and" => operand.as_array().unwrap().iter().all(|part| whole(part, document)),
        "$or" => operand.as_array().unwrap().iter().any(|part| whole(part, document)),
        "$not" => !whole(operand, document),
        _ => test(operand, lookup(key, document)),
    })
}

fn lookup<'v>(key: &str, document: &'v Value) -> Option<&'v Value> {
    document.get(key).or_else(|| {
        let path: Vec<&str> = key.split('.').collect();
        if path.len() == 1 { None } else { path.into_iter().try_fold(document, |value, key| value.get(key)) }
    })
}

fn test(operand: &Value, value: Option<&Value>) -> bool {
    let Some(entries) = operand.as_object() else { return equal(operand, value.unwrap_or(&Value::Null)) };
    let fields: Vec<_> = entries.keys().filter(|key| !key.starts_with('$')).collect();
    let object_holds = (entries.len() > fields.len() && fields.is_empty())
        || value.is_some_and(|value| {
            value.is_object() && fields.iter().all(|key| test(&entries[*key], lookup(key, value)))
        });
    object_holds
        && entries.iter().filter(|(key, _)| key.starts_with('$')).all(|(operator, operand)| {
            let compared = value.unwrap_or(&Value::Null);
            match operator.as_str() {
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
                "$gt" => order(compared, operand) == Some(Ordering::Greater),
                "$gte" => order(compared, operand).is_some_and(Ordering::is_ge),
                "$lt" => order(compared, operand) == Some(Ordering::Less),
                "$lte" => order(compared, operand).is_some_and(Ordering::is_le),
                other => panic!("{other}"),
            }
        })
}

fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(_), Value::Number(_)) => order(a, b) == Some(Ordering::Equal),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => a == b,
    }
}

fn order(a: &Value, b: &Value) -> Option<Ordering> {
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
