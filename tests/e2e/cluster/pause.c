/* The program of a pod's sandbox: holds the pod's namespaces open until it is
 * told to go. As process 1 of a shared process namespace it also has to collect
 * children that nobody else waits for. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void leave(int signal_number) {
  (void)signal_number;
  _exit(0);
}

int main(void) {
  struct sigaction on_end = {.sa_handler = leave};
  /* SA_NOCLDWAIT: the kernel collects ended children itself. */
  struct sigaction on_child = {.sa_handler = SIG_DFL, .sa_flags = SA_NOCLDWAIT};
  sigaction(SIGINT, &on_end, 0);
  sigaction(SIGTERM, &on_end, 0);
  sigaction(SIGCHLD, &on_child, 0);
  for (;;) pause();
}
