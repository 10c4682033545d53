#include "http/message.h"

#include <gtest/gtest.h>

#include "http/head.h"

namespace cloister::http {
namespace {

TEST(Fields, CompareNamesWithoutCase) {
  Fields fields;
  fields.add("Accept", "a");
  fields.add("accept", "b");
  EXPECT_EQ(fields.get("ACCEPT"), "a");
  fields.set("aCCept", "c");
  EXPECT_EQ(fields.all().size(), 1U);
  EXPECT_EQ(fields.get("Accept"), "c");
  EXPECT_EQ(fields.get("Accep"), "");
  fields.wipe("ACCEPT");
  EXPECT_EQ(fields.get("Accept"), "");
}

TEST(Request, SplitsTheTarget) {
  Request request{.target = "/v1/x%20y?nonce=ab%2fc&empty&b=1=2&nonce=second&bad=%4&also=%zz"};
  EXPECT_EQ(request.path(), "/v1/x%20y");
  EXPECT_EQ(request.query("nonce"), "ab/c");
  EXPECT_EQ(request.query("empty"), "");
  EXPECT_EQ(request.query("b"), "1=2");
  EXPECT_EQ(request.query("bad"), "%4");
  EXPECT_EQ(request.query("also"), "%zz");
  EXPECT_EQ(request.query("x"), "");
}

TEST(Errors, TravelOverHttp) {
  for (auto kind : {ErrorKind::invalid, ErrorKind::not_found, ErrorKind::denied, ErrorKind::corrupt,
                    ErrorKind::unavailable, ErrorKind::exhausted, ErrorKind::system, ErrorKind::internal}) {
    auto response = error_response(Error(kind, "what: \"why\" \xff").with_hint("do this"));
    EXPECT_EQ(response.status, status_of(kind));
    auto error = error_from(response);
    EXPECT_EQ(error.kind(), kind);
    EXPECT_EQ(error.message(), "what: \"why\" \uFFFD");
    EXPECT_EQ(error.hint(), "do this");
  }
  EXPECT_EQ(error_response(Error(ErrorKind::denied, "no")).body,
            R"({"error":{"kind":"denied","message":"no"}})");
}

TEST(Errors, ForeignBodiesBecomeAKindByStatus) {
  auto kind = [](int status, std::string body = "<html>") {
    return error_from(Response{.status = status, .body = std::move(body)}).kind();
  };
  EXPECT_EQ(kind(401), ErrorKind::denied);
  EXPECT_EQ(kind(404, R"({"error":"text"})"), ErrorKind::not_found);
  EXPECT_EQ(kind(404, R"({"error":{"kind":7,"message":"m"}})"), ErrorKind::not_found);
  EXPECT_EQ(kind(403, R"({"error":{"kind":"unheard-of","message":"m"}})"), ErrorKind::denied);
  EXPECT_EQ(kind(413), ErrorKind::exhausted);
  EXPECT_EQ(kind(502), ErrorKind::unavailable);
  EXPECT_EQ(kind(418), ErrorKind::invalid);
  auto huge = error_from(
      {.status = 400, .body = R"({"error":{"kind":"denied","message":")" + std::string(9000, 'x') + "\"}}"});
  EXPECT_EQ(huge.message().size(), 4096U);
}

TEST(Head, RefusesRequestsThatCouldBeReadTwoWays) {
  struct Case {
    const char* text;
    int status;
  };
  for (auto [text, status] : {
           Case{"GET / HTTP/1.0\r\nHost: h\r\n\r\n", 505},
           Case{"GET / HTTP/2.0\r\nHost: h\r\n\r\n", 505},
           Case{"GET /\r\nHost: h\r\n\r\n", 400},
           Case{"GET  / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           Case{"GET / x HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           Case{"GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           Case{"G(T / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           Case{"\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           Case{" GET / HTTP/1.1\r\nHost: h\r\n\r\n", 400},
           Case{"GET / HTTP/1.1\nHost: h\r\n\r\n", 400},
           Case{"GET / HTTP/1.1\r\nHost: h\rX: y\r\n\r\n", 400},
           Case{"GET / HTTP/1.1\r\n\r\n", 400},
           Case{"GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", 400},
           Case{"GET / HTTP/1.1\r\nHost: h\r\nX: a\r\n b\r\n\r\n", 400},
           Case{"GET / HTTP/1.1\r\n X: a\r\nHost: h\r\n\r\n", 400},
           Case{"GET / HTTP/1.1\r\nHost: h\r\nX : a\r\n\r\n", 400},
           Case{"GET / HTTP/1.1\r\nHost: h\r\n: a\r\n\r\n", 400},
           Case{"GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n", 400},
           Case{"GET / HTTP/1.1\r\nHost: h\r\nX: \x01\r\n\r\n", 400},
           Case{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
           Case{"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n", 400},
           Case{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n", 400},
           Case{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3, 3\r\n\r\n", 400},
           Case{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +3\r\n\r\n", 400},
           Case{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: -3\r\n\r\n", 400},
           Case{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0x3\r\n\r\n", 400},
           Case{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length:\r\n\r\n", 400},
           Case{"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551617\r\n\r\n", 400},
           Case{"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", 501},
           Case{"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501},
           Case{"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, identity\r\n\r\n", 501},
           Case{"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", 501},
           Case{"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", 501},
           Case{"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
                400},
           Case{"POST / HTTP/1.1\r\nHost: h\r\nExpect: 200-ok\r\n\r\n", 417},
           Case{"GET / HTTP/1.1\r\nHost: h\r\n", 400},
           Case{"", 400},
       }) {
    auto parsed = parse_request_head(text);
    ASSERT_FALSE(parsed.has_value()) << text;
    EXPECT_EQ(parsed.error().status, status) << text << parsed.error().error.message();
  }
  std::string with_nul = "GET / HTTP/1.1\r\nHost: h\r\nX: a?b\r\n\r\n";
  EXPECT_TRUE(parse_request_head(with_nul).has_value());
  with_nul[with_nul.find('?')] = '\0';
  EXPECT_FALSE(parse_request_head(with_nul).has_value());
}

TEST(Head, ReadsRequests) {
  auto parsed = parse_request_head(
      "POST /a?b HTTP/1.1\r\nhost: h\r\nX-Y:  z \r\ncontent-length: 7\r\n"
      "Connection: x, Close\r\nExpect: 100-Continue\r\n\r\n");
  ASSERT_TRUE(parsed.has_value());
  EXPECT_EQ(parsed->request.method, "POST");
  EXPECT_EQ(parsed->request.target, "/a?b");
  EXPECT_EQ(parsed->request.fields.get("x-y"), "z");
  EXPECT_EQ(parsed->framing.kind, Framing::Kind::length);
  EXPECT_EQ(parsed->framing.length, 7U);
  EXPECT_FALSE(parsed->keep);
  EXPECT_TRUE(parsed->expects_continue);
}

TEST(Head, RefusesAnswersWithoutAKnownEnd) {
  for (const char* text : {
           "HTTP/1.1 200 OK\r\n\r\n",
           "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
           "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n folded\r\n\r\n",
           "HTTP/1.1 2000 OK\r\nContent-Length: 1\r\n\r\n",
           "HTTP/1.1 007 OK\r\nContent-Length: 1\r\n\r\n",
           "HTTP/3.0 200 OK\r\nContent-Length: 1\r\n\r\n",
           "ICY 200 OK\r\nContent-Length: 1\r\n\r\n",
       }) {
    EXPECT_FALSE(parse_response_head(text, "GET").has_value()) << text;
  }
  EXPECT_TRUE(parse_response_head("HTTP/1.1 204 No Content\r\n\r\n", "GET").has_value());
  EXPECT_TRUE(parse_response_head("HTTP/1.1 200 OK\r\n\r\n", "HEAD").has_value());
  auto old = parse_response_head("HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", "GET");
  ASSERT_TRUE(old.has_value());
  EXPECT_FALSE(old->keep);
}

TEST(Head, NothingCanBeInjected) {
  Request request;
  request.fields.add("X", "a\r\nEvil: 1");
  EXPECT_FALSE(format_request_head(request, "h"));
  EXPECT_FALSE(format_request_head(Request{}, "h\r\nEvil: 1"));
  EXPECT_FALSE(format_request_head(Request{.method = "GET /"}, "h"));
  EXPECT_FALSE(format_request_head(Request{.target = "/ HTTP/1.1\r\nX: y"}, "h"));
  Response response;
  response.fields.add("X Y", "a");
  EXPECT_FALSE(format_response_head(response, {}, true));
  EXPECT_FALSE(format_response_head(Response{.status = 42}, {}, true));
}

TEST(Head, FramingFieldsAreOurs) {
  Request request{.method = "POST", .body = "abc"};
  request.fields.add("content-length", "9");
  request.fields.add("Transfer-Encoding", "chunked");
  request.fields.add("Host", "signed.example");
  EXPECT_EQ(*format_request_head(request, "other.example"),
            "POST / HTTP/1.1\r\nHost: signed.example\r\nContent-Length: 3\r\n\r\n");
  EXPECT_EQ(*format_response_head(Response{}, {Framing::Kind::chunked}, false),
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
}

}  // namespace
}  // namespace cloister::http
