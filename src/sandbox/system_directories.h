// The system's directories in a root plan: programs and libraries, and of /etc only what these read.
#pragma once

#include "sandbox/root.h"

namespace cloister::sandbox {

// /usr; /bin, /lib… as they are here (links into /usr on a merged system, directories elsewhere); and a list
// of paths below /etc. All read-only. What this machine lacks is left out.
void add_system_directories(RootPlan& plan);

}  // namespace cloister::sandbox
