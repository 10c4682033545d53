// What a pump's process does when it is told to end: the folder goes, and nobody is left with one that
// answers "not connected".
#pragma once

#include <signal.h>

#include <atomic>
#include <functional>
#include <memory>
#include <thread>
#include <vector>

#include "share/mount.h"
#include "share/pump.h"

namespace cloister::host {

// On SIGINT, SIGTERM and SIGHUP: writes what is dirty, unmounts, and ends the pump, even where somebody still
// holds a file of the folder or the enclave does not answer. Made before any other thread, so that all
// inherit the blocked signals; its own thread waits for them and nothing else. Borrows what it is given.
class UnmountOnSignal {
 public:
  static Result<std::unique_ptr<UnmountOnSignal>> watch(share::Mount& mount, const share::Lanes& lanes,
                                                        const share::Traffic& traffic);
  ~UnmountOnSignal();
  UnmountOnSignal(const UnmountOnSignal&) = delete;
  UnmountOnSignal& operator=(const UnmountOnSignal&) = delete;

  bool told() const { return told_; }

 private:
  UnmountOnSignal(share::Mount& mount, const share::Traffic& traffic, std::vector<sys::Fd> lanes);
  void run();
  // Returns whether the pump has ended meanwhile.
  bool unmount();
  bool wait_while(sys::milliseconds patience, const std::function<bool()>& goes_on) const;
  pid_t unmount_elsewhere() const;

  share::Mount& mount_;
  const share::Traffic& traffic_;
  std::vector<sys::Fd> lanes_;  // duplicates: the pump owns the lanes
  sigset_t ending_{};
  sigset_t wake_{};                 // SIGUSR1, which anybody may send: what counts is over_
  std::atomic<bool> over_ = false;  // the pump has ended
  std::atomic<bool> told_ = false;
  std::thread thread_;
};

}  // namespace cloister::host
