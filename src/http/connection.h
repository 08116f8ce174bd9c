#pragma once
// One client's connection, from accept to close. Lives on its loop.

#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <memory>

namespace sluice::http {

class Loop;

// Concrete executors: any_io_executor costs Beast and Asio dearly.
using Executor = boost::asio::io_context::executor_type;
using Socket = boost::asio::basic_stream_socket<boost::asio::ip::tcp, Executor>;

class Connection {
 public:
  virtual ~Connection() = default;
  virtual void start() = 0;
  // Acts on a deadline that has passed.
  virtual void sweep(std::uint64_t now_ms) = 0;
  // No further request: closes now when no request is being answered or its body read.
  virtual void stop() = 0;
  // Closes now and leaves the loop's list. What is still under way finds it closed.
  virtual void close() = 0;

  std::size_t slot = 0;  // its place in the loop's list
};

enum class Listener : std::uint8_t { Main, Admin };

// `loop` outlives the connection's close().
std::shared_ptr<Connection> make_connection(Loop& loop, Socket socket, Listener listener);

}  // namespace sluice::http
