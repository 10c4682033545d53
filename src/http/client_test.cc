#include "http/client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <thread>

#include "http/scripted_stream.h"
#include "http/server.h"

namespace cloister::http {
namespace {

using testing::ElementsAre;

std::unique_ptr<ScriptedStream> scripted(std::string input, std::string* written = nullptr,
                                         std::size_t piece = 5) {
  return std::make_unique<ScriptedStream>(std::move(input), piece, written);
}

Result<Response> ask(std::string answer, Request request = {}) {
  Client client(scripted(std::move(answer)), "h");
  return client.exchange(request, {});
}

TEST(Client, KeepsTheConnection) {
  std::string written;
  Client client(
      scripted("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"
               "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nc\r\n2\r\nde\r\n0\r\n\r\n",
               &written, 1),  // byte by byte: the script must not run ahead of the questions
      "example");
  auto first = client.exchange({.method = "POST", .target = "/x", .body = "q"}, {});
  ASSERT_TRUE(first) << first.error().message();
  EXPECT_EQ(first->body, "ab");
  auto second = client.exchange({}, {});
  ASSERT_TRUE(second) << second.error().message();
  EXPECT_EQ(second->status, 404);
  EXPECT_EQ(second->body, "cde");
  EXPECT_EQ(written,
            "POST /x HTTP/1.1\r\nHost: example\r\nContent-Length: 1\r\n\r\nq"
            "GET / HTTP/1.1\r\nHost: example\r\n\r\n");
}

TEST(Client, RefusesWhatAHostileServerSends) {
  struct Case {
    std::string answer;
    ErrorKind kind;
  };
  std::string interim;
  for (int i = 0; i < 10; ++i) interim += "HTTP/1.1 103 Early Hints\r\n\r\n";
  for (const auto& [answer, kind] : {
           Case{"", ErrorKind::unavailable},
           Case{"HTTP/1.1 200 OK\r\nConte", ErrorKind::unavailable},
           Case{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab", ErrorKind::unavailable},
           Case{"HTTP/1.1 200 OK\r\n\r\nwhole body to the end", ErrorKind::corrupt},
           Case{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
                ErrorKind::corrupt},
           Case{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ErrorKind::corrupt},
           Case{"HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n", ErrorKind::exhausted},
           Case{"HTTP/1.1 200 OK\r\nX: " + std::string(9000, 'x') + "\r\n\r\n", ErrorKind::exhausted},
           Case{"HTTP/1.1 101 Switching\r\n\r\n", ErrorKind::corrupt},
           Case{interim, ErrorKind::corrupt},
           Case{"garbage\r\n\r\n", ErrorKind::corrupt},
       }) {
    auto response = ask(answer);
    ASSERT_FALSE(response) << answer.substr(0, 100);
    EXPECT_EQ(response.error().kind(), kind) << answer.substr(0, 100) << response.error().message();
  }
}

TEST(Client, IsOfNoUseAfterAFailureOrAClose) {
  for (const char* answer : {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
                             "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", "bad\r\n\r\n"}) {
    Client client(scripted(std::string(answer) + "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), "h");
    (void)client.exchange({}, {});
    auto second = client.exchange({}, {});
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().kind(), ErrorKind::unavailable);
  }
}

TEST(Client, AnAnswerBeforeItsQuestionIsNotTaken) {
  Client client(scripted("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
                         "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
                         nullptr, 1000),
                "h");
  ASSERT_TRUE(client.exchange({}, {}));
  auto second = client.exchange({}, {});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind(), ErrorKind::corrupt);
}

TEST(Client, AMalformedRequestIsNotSent) {
  std::string written;
  Client client(scripted("", &written), "h");
  auto response = client.exchange({.target = "/a b"}, {});
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind(), ErrorKind::invalid);
  EXPECT_EQ(written, "");
}

TEST(Client, HeadAnswersHaveNoBody) {
  auto response = ask("HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", {.method = "HEAD"});
  ASSERT_TRUE(response);
  EXPECT_EQ(response->body, "");
}

struct Lines {
  Result<Response> result;
  std::vector<std::string> lines;
};

Lines lines_of(std::string answer, std::size_t max_line = 8, std::size_t enough = 100) {
  Client client(scripted(std::move(answer)), "h");
  std::vector<std::string> lines;
  auto result = client.stream_lines({}, max_line,
                                    [&](std::string_view line) {
                                      lines.emplace_back(line);
                                      return lines.size() < enough;
                                    },
                                    {});
  return {std::move(result), std::move(lines)};
}

constexpr const char* kChunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

TEST(StreamLines, SplitsAcrossChunks) {
  auto got = lines_of(std::string(kChunked) + "3\r\nab\n\r\n1\r\nc\r\n6\r\nd\n\ne\nf\r\n0\r\n\r\n");
  ASSERT_TRUE(got.result) << got.result.error().message();
  EXPECT_THAT(got.lines, ElementsAre("ab", "cd", "", "e", "f"));
  EXPECT_EQ(got.result->body, "");
}

TEST(StreamLines, StopsWhenToldTo) {
  auto got = lines_of(std::string(kChunked) + "6\r\na\nb\nc\n\r\n", 8, 2);
  ASSERT_TRUE(got.result);
  EXPECT_THAT(got.lines, ElementsAre("a", "b"));
}

TEST(StreamLines, BoundsLines) {
  auto exact = lines_of(std::string(kChunked) + "9\r\n12345678\n\r\n0\r\n\r\n");
  EXPECT_TRUE(exact.result);
  for (const char* body : {"a\r\n123456789\n\r\n0\r\n\r\n", "4\r\n1234\r\n5\r\n56789\r\n"}) {
    auto got = lines_of(std::string(kChunked) + body);
    ASSERT_FALSE(got.result);
    EXPECT_EQ(got.result.error().kind(), ErrorKind::exhausted);
    EXPECT_TRUE(got.lines.empty());
  }
}

TEST(StreamLines, ACutIsNoEnd) {
  auto got = lines_of(std::string(kChunked) + "3\r\nab\n\r\n1\r\nc\r\n");
  ASSERT_FALSE(got.result);
  EXPECT_EQ(got.result.error().kind(), ErrorKind::unavailable);
  EXPECT_THAT(got.lines, ElementsAre("ab"));
}

TEST(StreamLines, ErrorsComeWhole) {
  auto got = lines_of("HTTP/1.1 404 Not Found\r\nContent-Length: 6\r\n\r\nno\njob");
  ASSERT_TRUE(got.result);
  EXPECT_EQ(got.result->status, 404);
  EXPECT_EQ(got.result->body, "no\njob");
  EXPECT_TRUE(got.lines.empty());
}

TEST(StreamLines, BothEndsOverASocket) {
  auto pair = sys::make_socket_pair(SOCK_STREAM);
  ASSERT_TRUE(pair);
  std::thread server([fd = std::make_shared<sys::Fd>(std::move(pair->second))] {
    sys::FdStream stream(std::move(*fd));
    (void)serve_connection(stream, [](const Request& request) {
      auto text = request.body;
      return Answer(Response{}, [text](Streamer& out) -> Status {
        for (int i = 0; i < 500; ++i) TRY(out.write(fmt::format("{} {}\n", text, i)));
        return {};
      });
    });
  });
  {
    Client client(std::make_unique<sys::FdStream>(std::move(pair->first)), "h");
    for (int round = 0; round < 3; ++round) {
      std::vector<std::string> lines;
      auto result = client.stream_lines(
          {.method = "POST", .body = "n"}, 100,
          [&](std::string_view line) {
            lines.emplace_back(line);
            return true;
          },
          sys::Deadline::after(sys::seconds(15)));
      EXPECT_TRUE(result);
      EXPECT_EQ(lines.size(), 500U);
      EXPECT_EQ(lines.back(), "n 499");
    }
  }
  server.join();
}

TEST(Client, GetsTheRefusalOfABodyItCouldNotSend) {
  auto pair = sys::make_socket_pair(SOCK_STREAM);
  ASSERT_TRUE(pair);
  std::thread server([fd = std::make_shared<sys::Fd>(std::move(pair->second))] {
    sys::FdStream stream(std::move(*fd));
    (void)serve_connection(stream, [](const Request&) { return Response{}; }, {.max_body = 10});
  });
  {
    Client client(std::make_unique<sys::FdStream>(std::move(pair->first)), "h");
    auto response = client.exchange({.method = "POST", .body = std::string(4000000, 'x')},
                                    sys::Deadline::after(sys::seconds(15)));
    ASSERT_TRUE(response) << response.error().message();
    EXPECT_EQ(response->status, 413);
    EXPECT_EQ(error_from(*response).kind(), ErrorKind::exhausted);
  }
  server.join();
}

TEST(Client, ADeadlineEndsTheWait) {
  auto pair = sys::make_socket_pair(SOCK_STREAM);
  ASSERT_TRUE(pair);
  Client client(std::make_unique<sys::FdStream>(std::move(pair->first)), "h");
  auto response = client.exchange({}, sys::Deadline::after(sys::milliseconds(30)));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().kind(), ErrorKind::unavailable);
}

TEST(Tunnel, LeavesTheTunnelsBytes) {
  for (std::size_t piece : {1, 3, 4, 1000}) {
    std::string written;
    ScriptedStream proxy("HTTP/1.0 200 Connection established\r\nContent-Length: 7\r\n\r\nsecrets", piece,
                         &written);
    ASSERT_TRUE(connect_through(proxy, "kms.eu-west-1.amazonaws.com", 443, {}));
    EXPECT_EQ(proxy.unread(), "secrets");
    EXPECT_EQ(
        written,
        "CONNECT kms.eu-west-1.amazonaws.com:443 HTTP/1.1\r\nHost: kms.eu-west-1.amazonaws.com:443\r\n\r\n");
  }
}

TEST(Tunnel, CarriesTheProxysRefusal) {
  auto told = error_response(Error(ErrorKind::denied, "not on the list").with_hint("allow it"));
  ScriptedStream proxy(
      fmt::format("HTTP/1.1 403 Forbidden\r\nContent-Length: {}\r\n\r\n{}", told.body.size(), told.body));
  auto refused = connect_through(proxy, "x", 1, {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().kind(), ErrorKind::denied);
  EXPECT_EQ(refused.error().message(), "proxy, connecting to x:1: not on the list");
  EXPECT_EQ(refused.error().hint(), "allow it");
}

TEST(Tunnel, RefusesBadAnswersAndNames) {
  for (auto [answer, kind] : {
           std::pair{"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n", ErrorKind::unavailable},
           std::pair{"HTTP/1.1 407 Auth\r\nContent-Length: 99999999\r\n\r\n", ErrorKind::denied},
           std::pair{"SSH-2.0-OpenSSH\r\n\r\n", ErrorKind::corrupt},
           std::pair{"HTTP/1.1 200 OK\r\n", ErrorKind::unavailable},
       }) {
    ScriptedStream proxy(answer);
    auto refused = connect_through(proxy, "x", 1, {});
    ASSERT_FALSE(refused) << answer;
    EXPECT_EQ(refused.error().kind(), kind) << answer;
  }
  for (const char* host : {"", "a b", "a\r\nX: y", "a/b", "u@h", "a?b"}) {
    std::string written;
    ScriptedStream proxy("HTTP/1.1 200 OK\r\n\r\n", 10, &written);
    EXPECT_FALSE(connect_through(proxy, host, 443, {})) << host;
    EXPECT_EQ(written, "");
  }
}

}  // namespace
}  // namespace cloister::http
