// One request lane of a pump: a loop of read a request from the kernel, send it, receive the reply, write it.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "fuse/reply_check.h"
#include "fuse/wire.h"
#include "share/pump.h"
#include "share/pump_run.h"

namespace cloister::share {

class PumpLane {
 public:
  // All of them outlive the lane. `device`: of the mount; the lane has a clone of it where the kernel can.
  static Result<std::unique_ptr<PumpLane>> create(int device, sys::Stream& stream, const PumpOptions& options,
                                                  PumpRun& run);
  // Until the run stops or the mount is gone.
  void run();

 private:
  using Clock = std::chrono::steady_clock;
  // A request for a lock that somebody else holds, to be asked again, for ever or for a while.
  struct Waiting {
    Bytes request;
    fuse::Outstanding outstanding;
    Clock::time_point next;
    std::chrono::milliseconds pause;
    Clock::time_point until = Clock::time_point::max();
  };

  PumpLane(int device, sys::Stream& stream, const PumpOptions& options, PumpRun& run);
  Status watch(int fd, std::uint32_t events);
  bool step();
  bool wait();
  int patience() const;

  void handle(MutableByteView request);
  int answer_of_our_own(ByteView request, const fuse_in_header& header);
  void prepare(MutableByteView request);
  Result<MutableByteView> ask(const fuse::Outstanding& outstanding, ByteView request);
  void finish(const fuse::Outstanding& outstanding, ByteView request, MutableByteView reply);
  void grant(ByteView request, ByteView reply);
  void exchange(const fuse::Outstanding& outstanding, ByteView request);

  void wait_for_lock(MutableByteView request, Clock::time_point until);
  void exchange_waiting(Waiting waiting);
  void ask_again();

  void count(const fuse::Outstanding& outstanding, ByteView reply);
  Status write_reply(ByteView reply) const;
  void answer_error(std::uint64_t unique, int error) const;

  int device_;
  sys::Fd clone_;
  sys::Fd epoll_;
  sys::Stream& stream_;
  const PumpOptions& options_;
  fuse::Presentation presentation_;
  PumpRun& run_;
  fuse::MessageReader reader_;
  Bytes request_;
  std::vector<Waiting> waiting_;
};

}  // namespace cloister::share
