//! `getParts`: the parts of a multipart body that has been received as a whole.

use milliways_proto::http::{Part, Parts};

use crate::call::{Call, Returned};
use crate::node::{Failed, Js, Value};

/// A part in memory of its own.
struct OwnedPart {
    data: Vec<u8>,
    name: Option<String>,
    media_type: Option<String>,
    filename: Option<String>,
}

/// `getParts(body, contentType): { data, name, type?, filename? }[] | undefined`
pub(crate) fn get_parts<'s>(call: &Call<'s, 2>) -> Returned<'s> {
    let js = call.js;
    let content_type = call.bytes(1)?;
    let parts = call.with_bytes(0, |_, body| {
        let parts = Parts::new(body, &content_type)?;
        Some(parts.map(|part| OwnedPart::of(&part)).collect::<Vec<_>>())
    })?;
    let Some(parts) = parts else { return Ok(None) };
    let objects: Result<Vec<_>, _> = parts.into_iter().map(|part| part.into_object(js)).collect();
    Ok(Some(js.array(&objects?)?))
}

impl OwnedPart {
    fn of(part: &Part<'_>) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            data: part.data.to_vec(),
            name: part.name.as_deref().map(text),
            media_type: part.media_type.as_deref().map(text),
            filename: part.filename.as_deref().map(text),
        }
    }

    fn into_object(self, js: Js<'_>) -> Result<Value<'_>, Failed> {
        let object = js.object()?;
        js.define(object, c"data", js.copied_buffer(&self.data)?)?;
        let texts = [(c"name", self.name), (c"type", self.media_type), (c"filename", self.filename)];
        for (name, text) in texts {
            if let Some(text) = text {
                js.define(object, name, js.string(&text)?)?;
            }
        }
        Ok(object)
    }
}
