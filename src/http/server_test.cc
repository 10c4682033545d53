#include "http/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "http/scripted_stream.h"

namespace cloister::http {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

constexpr std::string_view kGet = "GET /a HTTP/1.1\r\nHost: h\r\n\r\n";

Answer echo(const Request& request) {
  return Response{.body = request.method + " " + request.target + " [" + request.body + "]"};
}

struct Served {
  Status status;
  std::string written;
};

Served serve(std::string input, const Handler& handler = echo, std::size_t piece = SIZE_MAX) {
  std::string written;
  ScriptedStream stream(std::move(input), piece, &written);
  auto status = serve_connection(stream, handler, {.max_body = 64});
  return {std::move(status), std::move(written)};
}

std::string ok(std::string_view body) {
  return fmt::format("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{}", body.size(), body);
}

TEST(Server, KeepsConnectionsWhateverTheGrain) {
  std::string input = std::string(kGet) +
                      "POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc"
                      "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
                      "2\r\nde\r\n3;x=\"y\"\r\nfgh\r\n0\r\nContent-Length: 5\r\n\r\n" +
                      std::string(kGet);
  for (std::size_t piece : {1, 2, 3, 7, 100000}) {
    auto served = serve(input, echo, piece);
    EXPECT_TRUE(served.status);
    EXPECT_EQ(served.written,
              ok("GET /a []") + ok("POST /b [abc]") + ok("POST /c [defgh]") + ok("GET /a []"));
  }
}

TEST(Server, RefusesAndCloses) {
  struct Case {
    std::string input;
    int status;
    ErrorKind kind;
  };
  std::string chunked = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const auto& [input, status, kind] : {
           Case{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: "
                "chunked\r\n\r\n0\r\n\r\n",
                400, ErrorKind::invalid},
           Case{"GET / HTTP/1.0\r\nHost: h\r\n\r\n", 505, ErrorKind::invalid},
           Case{"CONNECT h:1 HTTP/1.1\r\nHost: h\r\n\r\n", 400, ErrorKind::invalid},
           Case{"GET http://h/ HTTP/1.1\r\nHost: h\r\n\r\n", 400, ErrorKind::invalid},
           Case{"GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(kMaxHeaderBytes, 'x') + "\r\n\r\n", 431,
                ErrorKind::exhausted},
           Case{std::string(100000, 'G'), 431, ErrorKind::exhausted},
           Case{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 65\r\n\r\n", 413, ErrorKind::exhausted},
           Case{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 999999999999999999\r\n\r\n", 413,
                ErrorKind::exhausted},
           Case{chunked + "40\r\n" + std::string(64, 'x') + "\r\n1\r\nx\r\n0\r\n\r\n", 413,
                ErrorKind::exhausted},
           Case{chunked + "ffffffffffffffff\r\n", 413, ErrorKind::exhausted},
           Case{chunked + "10000000000000000\r\n", 400, ErrorKind::invalid},
           Case{chunked + "0x1\r\na\r\n0\r\n\r\n", 400, ErrorKind::invalid},
           Case{chunked + "+1\r\na\r\n0\r\n\r\n", 400, ErrorKind::invalid},
           Case{chunked + " 1\r\na\r\n0\r\n\r\n", 400, ErrorKind::invalid},
           Case{chunked + "1\na\r\n0\r\n\r\n", 400, ErrorKind::invalid},
           Case{chunked + "1;a\nb\r\na\r\n0\r\n\r\n", 400, ErrorKind::invalid},
           Case{chunked + "1;\x01\r\na\r\n0\r\n\r\n", 400, ErrorKind::invalid},
           Case{chunked + "1\r\nab\r\n0\r\n\r\n", 400, ErrorKind::invalid},
           Case{chunked + "1;" + std::string(300, 'x') + "\r\na\r\n0\r\n\r\n", 400, ErrorKind::invalid},
           Case{chunked + "\r\n", 400, ErrorKind::invalid},
           Case{chunked + "0\r\n" + std::string(9000, 'x') + "\r\n\r\n", 400, ErrorKind::invalid},
           // The peer half-closes in the middle of what it sends.
           Case{"GET / HTTP/1.1\r\nHo", 400, ErrorKind::unavailable},
           Case{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabcd", 400, ErrorKind::unavailable},
           Case{chunked + "5\r\nabc", 400, ErrorKind::unavailable},
           Case{chunked + "3\r\nabc\r\n0\r\n", 400, ErrorKind::unavailable},
       }) {
    for (std::size_t piece : {1, 100000}) {
      bool called = false;
      auto served = serve(
          input + std::string(kGet),
          [&](const Request&) {
            called = true;
            return Response{};
          },
          piece);
      if (kind == ErrorKind::unavailable) served = serve(input, echo, piece);
      ASSERT_FALSE(served.status) << input.substr(0, 200);
      EXPECT_EQ(served.status.error().kind(), kind)
          << input.substr(0, 200) << served.status.error().message();
      EXPECT_THAT(served.written, StartsWith(fmt::format("HTTP/1.1 {} ", status))) << input.substr(0, 200);
      EXPECT_THAT(served.written, HasSubstr("\r\nConnection: close\r\n"));
      if (kind != ErrorKind::unavailable) {
        EXPECT_FALSE(called);
      }
    }
  }
}

TEST(Server, TheLongestHeadPasses) {
  std::string start = "GET / HTTP/1.1\r\nHost: h\r\nX: ";
  auto longest = start + std::string(kMaxHeaderBytes - start.size() - 4, 'x') + "\r\n\r\n";
  EXPECT_TRUE(serve(longest).status);
  EXPECT_FALSE(serve(start + std::string(kMaxHeaderBytes - start.size() - 3, 'x') + "\r\n\r\n").status);
}

TEST(Server, EndsInOrder) {
  EXPECT_TRUE(serve("").status);
  auto served = serve("GET /x HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n" + std::string(kGet));
  EXPECT_TRUE(served.status);
  EXPECT_EQ(served.written, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nGET /x []");
}

TEST(Server, StreamsInChunks) {
  Handler handler = [](const Request&) {
    return Answer(Response{}, [](Streamer& out) -> Status {
      TRY(out.write("first"));
      TRY(out.write(""));
      return out.write(std::string(17, 'x'));
    });
  };
  auto served = serve(std::string(kGet) + "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", handler);
  EXPECT_TRUE(served.status);
  EXPECT_EQ(served.written,
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: "
            "chunked\r\n\r\n5\r\nfirst\r\n11\r\nxxxxxxxxxxxxxxxxx\r\n0\r\n\r\n"
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
}

TEST(Server, AFailedStreamShowsAsCut) {
  auto served = serve(std::string(kGet), [](const Request&) {
    return Answer(Response{}, [](Streamer& out) -> Status {
      TRY(out.write("part"));
      return fail(ErrorKind::internal, "broken");
    });
  });
  EXPECT_FALSE(served.status);
  EXPECT_THAT(served.written, testing::EndsWith("4\r\npart\r\n"));
}

TEST(Server, BodilessAnswers) {
  auto served = serve("HEAD / HTTP/1.1\r\nHost: h\r\n\r\n" + std::string(kGet), [](const Request& request) {
    return request.method == "HEAD" ? Response{.body = "abc"} : Response{.status = 204, .body = "ignored"};
  });
  EXPECT_EQ(served.written, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
}

TEST(Server, AnUnsendableAnswerIsOurFault) {
  auto served = serve(std::string(kGet), [](const Request&) {
    Response response;
    response.fields.add("X", "a\r\nSet-Cookie: b");
    return response;
  });
  EXPECT_FALSE(served.status);
  EXPECT_THAT(served.written, StartsWith("HTTP/1.1 500 "));
  EXPECT_THAT(served.written, testing::Not(HasSubstr("Set-Cookie")));
}

TEST(Server, ReadRequestHeadLeavesTheRest) {
  for (std::size_t piece : {1, 2, 3, 4, 100000}) {
    ScriptedStream stream("CONNECT kms.example:443 HTTP/1.1\r\nHost: kms.example:443\r\n\r\n\x16\x03tunnel",
                          piece);
    auto request = read_request_head(stream);
    ASSERT_TRUE(request);
    EXPECT_EQ(request->method, "CONNECT");
    EXPECT_EQ(request->target, "kms.example:443");
    EXPECT_EQ(stream.unread(), "\x16\x03tunnel");
  }
  ScriptedStream endless(std::string(100000, 'x'));
  auto refused = read_request_head(endless);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind(), ErrorKind::exhausted);
}

class LiveServer : public testing::Test {
 protected:
  void start(ServerLimits limits) {
    auto pair = sys::make_socket_pair(SOCK_STREAM);
    ASSERT_TRUE(pair);
    client_ = std::make_unique<sys::FdStream>(std::move(pair->first));
    server_ = std::thread([this, limits, fd = std::make_shared<sys::Fd>(std::move(pair->second))] {
      sys::FdStream stream(std::move(*fd));
      status_ = serve_connection(stream, echo, limits);
    });
    client_->set_deadline(sys::Deadline::after(sys::seconds(15)));
  }
  void send(std::string_view text) { ASSERT_TRUE(client_->write_all(as_bytes(text))); }
  // Everything until the server closes.
  std::string receive_all() {
    std::string out;
    ByteArray<4096> buffer;
    for (;;) {
      auto n = client_->read_some(buffer);
      if (!n || *n == 0) return out;
      out += as_text(ByteView(buffer).first(*n));
    }
  }
  void finish() {
    if (server_.joinable()) server_.join();
  }
  void TearDown() override {
    client_.reset();
    finish();
  }

  std::unique_ptr<sys::FdStream> client_;
  std::thread server_;
  Status status_;
};

TEST_F(LiveServer, AnswersAHalfClosedPeer) {
  start({});
  send(kGet);
  ASSERT_TRUE(client_->shutdown_write());
  EXPECT_EQ(receive_all(), ok("GET /a []"));
  finish();
  EXPECT_TRUE(status_);
}

TEST_F(LiveServer, ASlowRequestIsCutOff) {
  start({.request = sys::milliseconds(150), .idle = sys::seconds(10)});
  std::thread dripper([this] {
    // Fails once the server has gone; the whole would take far longer than allowed.
    for (int i = 0; i < 200 && client_->write_all(as_bytes("G")); ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  });
  auto answer = receive_all();
  dripper.join();
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 408 "));
  client_.reset();
  finish();
  ASSERT_FALSE(status_);
  EXPECT_EQ(status_.error().kind(), ErrorKind::unavailable);
}

TEST_F(LiveServer, AnIdlePeerIsDropped) {
  start({.idle = sys::milliseconds(50)});
  finish();
  ASSERT_FALSE(status_);
  EXPECT_EQ(status_.error().kind(), ErrorKind::unavailable);
}

TEST_F(LiveServer, InvitesAnExpectedBody) {
  start({});
  send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  std::string interim(25, '\0');
  ASSERT_TRUE(sys::read_exactly(*client_, {reinterpret_cast<std::uint8_t*>(interim.data()), interim.size()}));
  EXPECT_EQ(interim, "HTTP/1.1 100 Continue\r\n\r\n");
  send("abc");
  ASSERT_TRUE(client_->shutdown_write());
  EXPECT_EQ(receive_all(), ok("POST / [abc]"));
}

TEST_F(LiveServer, DoesNotInviteWhatItWillNotTake) {
  start({.max_body = 2});
  send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n");
  ASSERT_TRUE(client_->shutdown_write());
  EXPECT_THAT(receive_all(), StartsWith("HTTP/1.1 413 "));
}

}  // namespace
}  // namespace cloister::http
