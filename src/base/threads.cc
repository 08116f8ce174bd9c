#include "base/threads.h"

#include <pthread.h>
#include <sched.h>

namespace sluice {

void name_this_thread(const std::string& name) {
  pthread_setname_np(pthread_self(), name.substr(0, 15).c_str());
}

void let_work_gather_for_this_thread() {
  const sched_param no_priority{};
  pthread_setschedparam(pthread_self(), SCHED_BATCH, &no_priority);  // refused: only slower
}

}  // namespace sluice
