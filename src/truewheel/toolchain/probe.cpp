// C++17 with threads and exceptions, linked as an engine's libraries are.
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
int main() {
    std::optional<std::string> caught;
    std::thread worker([&] { try { throw std::runtime_error("fit"); } catch (const std::exception &e) { caught = e.what(); } });
    worker.join();
    return caught.value_or("") == "fit" ? 0 : 1;
}
