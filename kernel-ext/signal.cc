// SIGINT for a thread that never gives its event loop a turn: a handler that counts in shared memory, where the guards in a cell's
// loops look, and then calls the handler it replaced (Node's, which wakes the event loop). Built by set-up with g++.
#include <node_api.h>
#include <signal.h>
#include <stdint.h>

static int32_t *state = nullptr;  // the four integers of interrupt.ts: 0 flag, 1 count
static struct sigaction before;

static void on_signal(int number, siginfo_t *info, void *context) {
  __atomic_add_fetch(&state[1], 1, __ATOMIC_SEQ_CST);
  __atomic_store_n(&state[0], 1, __ATOMIC_SEQ_CST);
  if (before.sa_flags & SA_SIGINFO) before.sa_sigaction(number, info, context);
  else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) before.sa_handler(number);
}

// install(Int32Array): again after something else has taken the signal; otherwise it changes nothing.
static napi_value install(napi_env env, napi_callback_info info) {
  size_t count = 1;
  napi_value argument;
  void *data = nullptr;
  napi_typedarray_type type;
  size_t length = 0;
  if (napi_get_cb_info(env, info, &count, &argument, nullptr, nullptr) != napi_ok || count < 1 ||
      napi_get_typedarray_info(env, argument, &type, &length, &data, nullptr, nullptr) != napi_ok ||
      type != napi_int32_array || length < 2) {
    napi_throw_type_error(env, nullptr, "install: expected an Int32Array of at least two elements");
    return nullptr;
  }
  state = static_cast<int32_t *>(data);
  struct sigaction now;
  sigaction(SIGINT, nullptr, &now);
  if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_signal) return nullptr;
  before = now;
  struct sigaction mine = {};
  mine.sa_sigaction = on_signal;
  mine.sa_flags = SA_SIGINFO | SA_RESTART;
  sigfillset(&mine.sa_mask);
  sigaction(SIGINT, &mine, nullptr);
  return nullptr;
}

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "install", NAPI_AUTO_LENGTH, install, nullptr, &function);
  napi_set_named_property(env, exports, "install", function);
  return exports;
}
