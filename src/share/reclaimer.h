// Reclaimer: keeps the client's kernel from remembering more inodes than this process may have descriptors. A
// kernel forgets a file only when its memory runs short, which is not when ours does. Thread-safe; owned by a
// Server.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

namespace cloister::share {

class FileSystem;
class Notifier;

class Reclaimer {
 public:
  Reclaimer(FileSystem& fs, Notifier& notifier) : fs_(fs), notifier_(notifier) {}
  ~Reclaimer();
  Reclaimer(const Reclaimer&) = delete;
  Reclaimer& operator=(const Reclaimer&) = delete;

  // To be called after a reply is sent, when the client's kernel holds no lock for that request any more.
  // From three quarters of the limit on the kernel is asked to let go; from seven eighths on this waits a
  // moment, so that it can.
  void pace();

 private:
  void wake();
  void run();
  bool ask_for_some();  // whether there was something to ask for
  FileSystem& fs_;
  Notifier& notifier_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool wanted_ = false;
  bool ending_ = false;
  std::thread thread_;  // started when first needed
};

}  // namespace cloister::share
