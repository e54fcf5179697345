//! The functions that JavaScript gets from the addon. Those of the classes begin with the class's name.

use std::ptr::NonNull;

use crate::call::{Call, Returned};
use crate::classes::{
    app, cork, diagnostics, handover, http_request, http_response, parts, pubsub, stats, store, tls, websocket,
};
use crate::environment::Environment;
use crate::node::{Callback, Failed, Js, Value, export};
use crate::trap::Layer;
use crate::uv::Loop;

/// Makes the state of an environment that loads the addon, and fills `exports` with the functions that work on it.
pub(crate) fn register<'s>(js: Js<'s>, exports: Value<'s>) -> Result<(), String> {
    let failed = |Failed| "a Node-API call failed".to_owned();
    let environment = Environment::attach(js, exports)?;
    let uv_loop = js.event_loop().map_err(failed)?.cast::<Loop>();
    // SAFETY: it is this thread's loop, and the environment is freed once its handles have been closed.
    unsafe { Environment::start(environment, uv_loop) }?;
    // SAFETY: the environment is freed when Node's environment has ended, and runs no JavaScript.
    unsafe { export_apps(js, exports, environment) }.map_err(failed)?;
    // SAFETY: as above.
    unsafe { export_connections(js, exports, environment) }.map_err(failed)
}

/// Exports what is about apps, and the module's own functions.
///
/// # Safety
///
/// The environment is valid as long as JavaScript runs in it.
unsafe fn export_apps(js: Js<'_>, exports: Value<'_>, environment: NonNull<Environment>) -> Result<(), Failed> {
    export!(js, exports, environment: Environment;
        c"createApp" => app::create,
        c"releaseApp" => app::release_app,
        c"releaseContexts" => app::release_contexts,
        c"closeApp" => app::close,
        c"shutDownApp" => app::shut_down,
        c"getDescriptor" => handover::get_descriptor,
        c"addChildAppDescriptor" => handover::add_child,
        c"removeChildAppDescriptor" => handover::remove_child,
        c"adoptSocket" => handover::adopt_socket,
        c"addRoute" => app::add_route,
        c"setFilter" => app::set_filter,
        c"leaveOutName" => app::leave_out_name,
        c"addWebSocketRoute" => app::add_websocket_route,
        c"setResponseHandlers" => app::set_response_handlers,
        c"listen" => app::listen,
        c"listenUnix" => app::listen_unix,
        c"closeListener" => app::close_listener,
        c"localPort" => app::local_port,
        c"localAddress" => app::local_address,
        c"stats" => app::stats,
        c"nameStats" => stats::names,
        c"appStats" => stats::of_app,
        c"processStats" => stats::of_process,
        c"appMetrics" => stats::text_of_app,
        c"processMetrics" => stats::text_of_process,
        c"setObserver" => diagnostics::set_observer,
        c"watch" => diagnostics::watch,
        c"takeFacts" => diagnostics::take_facts,
        c"secureApp" => tls::secure,
        c"addServerName" => tls::add_server_name,
        c"removeServerName" => tls::remove_server_name,
        c"findDomain" => tls::find_domain,
        c"setMissingServerName" => tls::set_missing_server_name,
        c"reloadCertificates" => tls::reload_certificates,
        c"getParts" => parts::get_parts,
        c"store_lock" => store::lock,
        c"store_unlock" => store::unlock,
        c"store_getString" => store::get_string,
        c"store_setString" => store::set_string,
        c"store_getInteger" => store::get_integer,
        c"store_setInteger" => store::set_integer,
        c"store_incInteger" => store::inc_integer,
        c"store_getStringKeys" => store::string_keys,
        c"store_getIntegerKeys" => store::integer_keys,
        c"store_deleteString" => store::delete_string,
        c"store_deleteInteger" => store::delete_integer,
        c"store_deleteStringCollection" => store::delete_string_collection,
        c"store_deleteIntegerCollection" => store::delete_integer_collection,
        c"publish" => pubsub::publish,
        c"numSubscribers" => pubsub::num_subscribers,
        c"setSharedView" => set_shared_view,
        c"provoke" => provoke,
    );
    Ok(())
}

/// Exports what is about requests, responses and WebSockets.
///
/// # Safety
///
/// The environment is valid as long as JavaScript runs in it.
unsafe fn export_connections(js: Js<'_>, exports: Value<'_>, environment: NonNull<Environment>) -> Result<(), Failed> {
    export!(js, exports, environment: Environment;
        c"responseCertificate" => tls::certificate,
        c"requestUrl" => http_request::url,
        c"requestQuery" => http_request::query,
        c"requestMethod" => http_request::method,
        c"requestCaseSensitiveMethod" => http_request::case_sensitive_method,
        c"requestHeader" => http_request::header,
        c"requestHeaders" => http_request::headers,
        c"requestParameter" => http_request::parameter,
        c"requestParameterAt" => http_request::parameter_at,
        c"requestQueryValue" => http_request::query_value,
        c"requestYield" => http_request::set_yield,
        c"responseCork" => http_response::cork,
        c"responseAwait" => http_response::await_response,
        c"responseStatus" => http_response::write_status,
        c"responseHeader" => http_response::write_header,
        c"responseEnd" => http_response::end,
        c"responseEndWithoutBody" => http_response::end_without_body,
        c"responseBeginWrite" => http_response::begin_write,
        c"responseWrite" => http_response::write,
        c"responseTryEnd" => http_response::try_end,
        c"responseWriteOffset" => http_response::write_offset,
        c"responseWantWritable" => http_response::want_writable,
        c"responseReceive" => http_response::receive,
        c"responseCollect" => http_response::collect,
        c"responsePause" => http_response::pause,
        c"responseResume" => http_response::resume,
        c"responseUpgrade" => http_response::upgrade,
        c"responseClose" => http_response::close,
        c"responseAbandon" => http_response::abandon,
        c"responseAddress" => http_response::address,
        c"responsePort" => http_response::port,
        c"webSocketAddress" => websocket::address,
        c"webSocketPort" => websocket::port,
        c"webSocketSubscribe" => pubsub::subscribe,
        c"webSocketUnsubscribe" => pubsub::unsubscribe,
        c"webSocketUnsubscribeAll" => pubsub::unsubscribe_all,
        c"webSocketIsSubscribed" => pubsub::is_subscribed,
        c"webSocketTopics" => pubsub::topics,
        c"webSocketPublish" => pubsub::publish_from,
        c"webSocketPause" => websocket::pause,
        c"webSocketResume" => websocket::resume,
        c"webSocketCork" => websocket::cork,
        c"webSocketSend" => websocket::send,
        c"webSocketSendText" => websocket::send_text,
        c"webSocketPing" => websocket::ping,
        c"webSocketEnd" => websocket::end,
        c"webSocketClose" => websocket::close,
        c"webSocketBufferedAmount" => websocket::buffered_amount,
        c"uncork" => cork::uncork,
    );
    Ok(())
}

/// `provoke(name)`: the layer of this name panics when it is next reached. This is for tests. Returns the names of all layers.
fn provoke<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    let (js, environment) = (call.js, call.environment);
    let wanted = js.text(call.arguments[0])?;
    let mut names = Vec::new();
    for layer in milliways_net::Layer::ALL {
        let name = format!("{layer:?}");
        if name == wanted {
            environment.reactor.provoke(layer);
        }
        names.push(js.string(&name)?);
    }
    for layer in Layer::ALL {
        let name = format!("{layer:?}");
        if name == wanted {
            environment.trap.set(layer);
        }
        names.push(js.string(&name)?);
    }
    Ok(Some(js.array(&names)?))
}

/// `setSharedView(function)`: `function` is called with a value, and returns a typed array of the same memory if that is shared.
fn set_shared_view<'s>(call: &Call<'s, 1>) -> Returned<'s> {
    call.environment.shared_view.set(Callback::new(call.js, call.arguments[0])?);
    Ok(None)
}
