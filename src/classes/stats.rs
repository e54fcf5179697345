//! Statistics, for `App` and the module.

use milliways_net::{AppId, app_text, descriptions, process_counts, process_text};

use crate::call::{Call, Returned};
use crate::node::{Failed, Js, Value};

/// `nameStats(thread): string`: sets the number under which the process lists this thread, and returns the paths of all numbers,
/// separated by commas. Those that apps do not have come last.
pub(crate) fn names<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    call.environment.reactor.set_thread(call.u32(0)?);
    let paths: Vec<_> = descriptions().iter().map(|description| description.path.as_str()).collect();
    Ok(Some(call.js.string(&paths.join(","))?))
}

/// `appStats(app): ArrayBuffer`: the numbers of an app as doubles, in the order of their names.
pub(crate) fn of_app<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let counts = call.environment.reactor.app_counts(AppId(call.u32(0)?));
    Ok(Some(doubles(call.js, &counts)?))
}

/// `processStats(): ArrayBuffer`: doubles. The numbers of the process come first, then the number and the numbers of each
/// thread.
pub(crate) fn of_process<'s>(call: &Call<'s, 0>) -> Returned<'s> {
    let process = process_counts();
    let mut all = process.counts;
    for thread in process.threads {
        all.push(thread.thread.into());
        all.extend(thread.counts);
    }
    Ok(Some(doubles(call.js, &all)?))
}

/// `appMetrics(app): string`: the numbers of an app as text for Prometheus.
pub(crate) fn text_of_app<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let counts = call.environment.reactor.app_counts(AppId(call.u32(0)?));
    Ok(Some(call.js.string(&app_text(&counts))?))
}

/// `processMetrics(): string`: the numbers of all threads as text for Prometheus.
pub(crate) fn text_of_process<'s>(call: &Call<'s, 0>) -> Returned<'s> {
    Ok(Some(call.js.string(&process_text(&process_counts()))?))
}

fn doubles<'s>(js: Js<'s>, counts: &[u64]) -> Result<Value<'s>, Failed> {
    js.array_buffer(size_of_val(counts), |bytes| {
        for (place, count) in bytes.chunks_exact_mut(size_of::<f64>()).zip(counts) {
            #[expect(clippy::cast_precision_loss, reason = "index.d.ts says from where on numbers are not exact")]
            place.copy_from_slice(&(*count as f64).to_ne_bytes());
        }
    })
}
