#pragma once
#include <string>

namespace sluice {

// As `top -H` shows the calling thread; what is beyond 15 characters is cut off.
void name_this_thread(const std::string& name);

// For threads whose work is cheaper the more of it comes at once, as one sync serves all that wait
// for it: being woken up does not take the processor from a thread that runs, which has more of
// that work at hand. Where a processor is idle, nothing changes.
void let_work_gather_for_this_thread();

}  // namespace sluice
