// The service manager's ear: what a service of Type=notify says about itself (sd_notify(3)).
#pragma once

#include <string_view>

namespace cloister::host {

// Sends assignments ("READY=1", one a line) as one datagram to the socket that $NOTIFY_SOCKET names: a path,
// or an abstract name after '@'. Nobody listens: nothing happens, for that is not this program's failure.
void tell_service_manager(std::string_view state);

}  // namespace cloister::host
