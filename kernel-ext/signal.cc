// SIGINT for a thread that never gives its event loop a turn: a handler that counts in shared memory, where the guards in a cell's
// loops look, and writes to a pipe, which wakes the thread of the sockets. Built by set-up with g++; see interrupt.ts.
//
// For scripts that a signal may end by force (`breakOnSigint`) Node puts a handler of its own in place. It is kept, and called only by
// force(): so every interrupt, by message or by signal, is heard by the guards first.
#include <errno.h>
#include <fcntl.h>
#include <node_api.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>

static int32_t *state = nullptr;  // the four integers of interrupt.ts: flag, count, seen, sync
static int ends[2] = {-1, -1};
static struct sigaction first;   // Node's when it started: it ends the process
static struct sigaction before;  // the latest that was in our place: Node's, or that of process.on("SIGINT")
static struct sigaction ender;   // what Node puts there while a script runs that a signal may end

static void call(const struct sigaction &action, int number, siginfo_t *info, void *context) {
  if (action.sa_flags & SA_SIGINFO) action.sa_sigaction(number, info, context);
  else if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN) action.sa_handler(number);
}

static void on_signal(int number, siginfo_t *info, void *context) {
  const int saved = errno;
  __atomic_add_fetch(&state[1], 1, __ATOMIC_SEQ_CST);
  __atomic_store_n(&state[0], 1, __ATOMIC_SEQ_CST);
  if (write(ends[1], "i", 1) < 0) { /* full: the reader is awake already */ }
  if (before.sa_handler != first.sa_handler) call(before, number, info, context);
  errno = saved;
}

// As pipe2 would, which macOS has not.
static bool make_pipe() {
  if (pipe(ends) != 0) return false;
  for (int end : ends) {
    fcntl(end, F_SETFL, O_NONBLOCK);
    fcntl(end, F_SETFD, FD_CLOEXEC);
  }
  return true;
}

// install(Int32Array, whether such a script runs) → the pipe's end to read from. Again after something else has taken the signal;
// otherwise it changes nothing.
static napi_value install(napi_env env, napi_callback_info info) {
  size_t count = 2;
  napi_value arguments[2], result;
  bool running = false;
  void *data = nullptr;
  napi_typedarray_type type;
  size_t length = 0;
  if (napi_get_cb_info(env, info, &count, arguments, nullptr, nullptr) != napi_ok || count < 2 ||
      napi_get_value_bool(env, arguments[1], &running) != napi_ok ||
      napi_get_typedarray_info(env, arguments[0], &type, &length, &data, nullptr, nullptr) != napi_ok ||
      type != napi_int32_array || length < 4) {
    napi_throw_type_error(env, nullptr, "install: expected an Int32Array of at least four elements, and a boolean");
    return nullptr;
  }
  if (ends[0] < 0) {
    if (!make_pipe()) {
      napi_throw_error(env, nullptr, "install: no pipe could be made");
      return nullptr;
    }
    sigaction(SIGINT, nullptr, &first);
    before = first;
  }
  state = static_cast<int32_t *>(data);
  struct sigaction now;
  sigaction(SIGINT, nullptr, &now);
  if (!(now.sa_flags & SA_SIGINFO) || now.sa_sigaction != on_signal) {
    (running ? ender : before) = now;
    struct sigaction mine = {};
    mine.sa_sigaction = on_signal;
    mine.sa_flags = SA_SIGINFO | SA_RESTART;
    sigfillset(&mine.sa_mask);
    sigaction(SIGINT, &mine, nullptr);
  }
  napi_create_int32(env, ends[0], &result);
  return result;
}

// force(): ends the script that may be ended so.
static napi_value force(napi_env env, napi_callback_info) {
  if (state != nullptr && __atomic_load_n(&state[3], __ATOMIC_SEQ_CST) == 1) {
    siginfo_t info = {};
    call(ender, SIGINT, &info, nullptr);
  }
  return nullptr;
}

NAPI_MODULE_INIT() {
  napi_value function;
  napi_create_function(env, "install", NAPI_AUTO_LENGTH, install, nullptr, &function);
  napi_set_named_property(env, exports, "install", function);
  napi_create_function(env, "force", NAPI_AUTO_LENGTH, force, nullptr, &function);
  napi_set_named_property(env, exports, "force", function);
  return exports;
}
