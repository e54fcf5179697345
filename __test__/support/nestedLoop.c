/* A Node-API addon with one function, which runs the event loop of its thread inside the call, as some addons do to
 * wait for something. It has its own few declarations, because headers are not installed everywhere. */

#include <stddef.h>

typedef struct napi_env__ *napi_env;
typedef struct napi_value__ *napi_value;
typedef struct napi_callback_info__ *napi_callback_info;
typedef napi_value (*napi_callback)(napi_env, napi_callback_info);
struct uv_loop_s;

extern int napi_create_function(napi_env, const char *, size_t, napi_callback, void *, napi_value *);
extern int napi_get_uv_event_loop(napi_env, struct uv_loop_s **);
extern int uv_run(struct uv_loop_s *, int mode);

enum { UV_RUN_ONCE = 1 };

static napi_value run_loop(napi_env env, napi_callback_info info) {
  (void)info;
  struct uv_loop_s *loop;
  if (napi_get_uv_event_loop(env, &loop) == 0) uv_run(loop, UV_RUN_ONCE);
  return NULL;
}

napi_value napi_register_module_v1(napi_env env, napi_value exports) {
  (void)exports;
  napi_value function = NULL;
  napi_create_function(env, "runLoop", 7, run_loop, NULL, &function);
  return function;
}
