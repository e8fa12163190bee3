// The few names of rclcpp that examples/planner.cpp uses, with rclcpp's signatures, so that the
// example can be checked by a compiler where rclcpp is not installed. It connects to nothing.
#ifndef RCLCPP__RCLCPP_HPP_
#define RCLCPP__RCLCPP_HPP_

#include <cstddef>
#include <cstdio>
#include <functional>
#include <future>
#include <memory>
#include <string>

#define RCLCPP_INFO(logger, ...) (static_cast<void>(logger), std::printf(__VA_ARGS__))
#define RCLCPP_WARN(logger, ...) (static_cast<void>(logger), std::printf(__VA_ARGS__))

namespace rclcpp
{

struct Logger {};

template<class Service>
struct Client
{
  using SharedPtr = std::shared_ptr<Client>;
  using SharedResponse = std::shared_ptr<typename Service::Response>;
  using SharedFuture = std::shared_future<SharedResponse>;
  bool service_is_ready() const {return true;}
  template<class Callback>
  void async_send_request(std::shared_ptr<typename Service::Request> request, Callback && callback)
  {
    sent = request;
    answer = std::function<void (SharedFuture)>(callback);
  }
  std::shared_ptr<typename Service::Request> sent;
  std::function<void (SharedFuture)> answer;
};

template<class Message>
struct Subscription
{
  using SharedPtr = std::shared_ptr<Subscription>;
  std::function<void (const Message &)> callback;
};

class Node
{
public:
  explicit Node(const std::string &) {}
  Logger get_logger() const {return {};}
  template<class T>
  T declare_parameter(const std::string &, const T & value) {return value;}
  template<class Service>
  std::shared_ptr<Client<Service>> create_client(const std::string &)
  {
    return std::make_shared<Client<Service>>();
  }
  template<class Message, class Callback>
  std::shared_ptr<Subscription<Message>> create_subscription(
    const std::string &, std::size_t, Callback && callback)
  {
    return std::make_shared<Subscription<Message>>(
      Subscription<Message>{std::function<void(const Message &)>(callback)});
  }
};

inline void init(int, char **) {}
inline void shutdown() {}
inline void spin(std::shared_ptr<Node>) {}

}  // namespace rclcpp

#endif  // RCLCPP__RCLCPP_HPP_
