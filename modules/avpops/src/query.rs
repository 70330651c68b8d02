//! `avp_db_query()`: asks a database, and puts the result into AVPs. The script waits, the process serves other messages
//! meanwhile.

use std::rc::Rc;

use tocsin_db::{Rows, Source, Value as Column};
use tocsin_script::{
    Bound, Bytes, Call, Function, Index, Outcome, Param, ParamKind, Resume, Routes, Store, Value,
};
use tocsin_server::Context;
use tocsin_server::databases::DatabaseError;
use tocsin_server::slow_queries::Excerpt;

use super::parameters::Urls;

/// The value of a column that has none: an AVP cannot be without one.
const NULL: &str = "<null>";
/// The result has no row, or the query gives none.
const EMPTY: i64 = -2;
/// Anything else that is wrong.
const FAILED: i64 = -1;

pub(super) fn functions() -> Vec<Function<Context>> {
    const PARAMETERS: &[Param] = &[
        Param::required("query", ParamKind::Str),
        Param::optional("res_col_avps", ParamKind::Outputs),
        Param::optional("db_id", ParamKind::Int),
    ];
    let query = Function::new("avp_db_query", PARAMETERS, Routes::ANY, |site| {
        let destinations: Rc<[Rc<Bound<Context>>]> = site.outputs(1).into();
        let source = if site.is_asynchronous() { Source::Asynchronous } else { Source::Plain };
        let call: Call<Context> =
            Rc::new(move |cx, arguments| ask(cx, arguments, Rc::clone(&destinations), source));
        Ok(call)
    })
    .doc(
        "Sends a query to a database, and writes the columns of the result into AVPs or other \
         variables. 1: there are rows; -1: it failed; -2: there are none, as after a query that changes something.",
    );
    vec![query.asynchronous()]
}

fn ask(
    cx: &mut Context,
    arguments: &[Value],
    destinations: Rc<[Rc<Bound<Context>>]>,
    source: Source,
) -> Outcome<Context> {
    let Value::Str(text) = &arguments[0] else { return Outcome::FALSE };
    if text.trim_ascii().is_empty() {
        tracing::error!("avp_db_query: the query is empty");
        return Outcome::FALSE;
    }
    let number = match &arguments[2] {
        Value::Null => 0,
        number => number.to_int().unwrap_or_default(),
    };
    let server = cx.server();
    let Some(database) = server.state::<Urls>().find(number) else {
        tracing::error!("avp_db_query: there is no db_url with the number {number}");
        return Outcome::FALSE;
    };
    let text = text.clone();
    Outcome::Wait(Box::pin(async move {
        let answer = server.registered.databases.query(server.query_reports(), database, &text, source).await;
        let rest: Resume<Context> =
            Box::new(move |cx| Outcome::Done(finish(cx, answer, &destinations, &text, number)));
        rest
    }))
}

fn finish(
    cx: &mut Context,
    answer: Result<Rows, DatabaseError>,
    destinations: &[Rc<Bound<Context>>],
    text: &Bytes,
    number: i64,
) -> i64 {
    match answer {
        Ok(rows) if rows.is_empty() => EMPTY,
        Ok(rows) if store(cx, &rows, destinations) => 1,
        Ok(_) => {
            tracing::error!("avp_db_query: not all of the result could be stored: {}", Excerpt(text));
            FAILED
        }
        // Why, the module has said that speaks to the database.
        Err(DatabaseError::Query(_)) => FAILED,
        Err(cause @ DatabaseError::Unknown) => {
            tracing::error!("avp_db_query: db{number}: {cause}");
            FAILED
        }
    }
}

/// Row by row, each value behind those that its AVP has. Columns without a destination are left out.
fn store(cx: &mut Context, rows: &Rows, destinations: &[Rc<Bound<Context>>]) -> bool {
    let numbered = |cx: &mut Context, at: usize, value| {
        let name = Bytes::decimal(at as i64 + 1);
        cx.avps.append(&name, value)
    };
    rows.iter().all(|row| {
        row.iter().enumerate().all(|(at, column)| {
            if destinations.is_empty() {
                return numbered(cx, at, value(column));
            }
            let destination = destinations.get(at);
            destination.is_none_or(|to| to.write_at(cx, Index::Append, value(column), Store::Set).is_ok())
        })
    })
}

fn value(column: &Column) -> Value {
    match column {
        Column::Null => Value::str(NULL),
        Column::Int(number) => Value::Int(*number),
        Column::Text(text) => Value::str(text.as_str()),
        Column::Blob(bytes) => Value::Str(Bytes::new(bytes)),
        Column::Double(_) | Column::Time(_) => Value::str(column.to_string().as_str()),
    }
}
