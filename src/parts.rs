//! `getParts`: a multipart body that has been received as a whole.

use milliways_proto::http::{Part, Parts};

use crate::call::{Call, Returned};
use crate::value::{Failed, Js, Value};

/// `getParts(body, contentType): { data, name, type?, filename? }[] | undefined`
pub(crate) fn get_parts<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let js = call.js;
    let content_type = call.with_bytes(1, <[u8]>::to_vec)?;
    let Some(array) = call.with_bytes(0, |body| {
        let parts = Parts::new(body, &content_type)?;
        // Making objects of plain values calls no JavaScript.
        Some(js.array(0).and_then(|array| {
            for (index, part) in parts.enumerate() {
                js.set_element(array, index, object_of(js, &part)?)?;
            }
            Ok(array)
        }))
    })?
    else {
        return Ok(None);
    };
    Ok(Some(array?))
}

fn object_of<'s>(js: Js<'s>, part: &Part<'_>) -> Result<Value<'s>, Failed> {
    let text = |bytes: &[u8]| js.string(&String::from_utf8_lossy(bytes));
    let object = js.object()?;
    js.set(object, c"data", js.copied_buffer(part.data)?)?;
    if let Some(name) = part.name {
        js.set(object, c"name", text(name)?)?;
    }
    if let Some(media_type) = part.media_type {
        js.set(object, c"type", text(media_type)?)?;
    }
    if let Some(filename) = part.filename {
        js.set(object, c"filename", text(filename)?)?;
    }
    Ok(object)
}
