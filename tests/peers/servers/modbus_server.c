/* A Modbus TCP server on libmodbus, for tests/peers: not written by us, not pymodbus.
 *
 *     modbus_server PORT      (0 lets the system choose; loopback only)
 *
 * Prints "ready PORT" when it listens, serves any number of clients, and ends on SIGTERM.
 * All four tables have 10,000 entries with contents that a test can compute:
 *   holding register r   (r * 40503 + 7) mod 65536
 *   input register r     65535 minus that
 *   coil c               set where bit 3 of c * 11 is set
 *   discrete input c     the opposite
 * Coils and holding registers can be written.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <modbus.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#define ENTRIES 10000
#define CLIENTS_MAX 64

static volatile sig_atomic_t stopping = 0;

static void stop(int signal_number)
{
    (void)signal_number;
    stopping = 1;
}

static void fill(modbus_mapping_t *tables)
{
    for (int i = 0; i < ENTRIES; i++) {
        uint16_t word = (uint16_t)(i * 40503u + 7u);
        uint8_t bit = ((i * 11) >> 3) & 1;
        tables->tab_registers[i] = word;
        tables->tab_input_registers[i] = (uint16_t)(65535u - word);
        tables->tab_bits[i] = bit;
        tables->tab_input_bits[i] = !bit;
    }
}

static int bound_port(int listener)
{
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    return getsockname(listener, (struct sockaddr *)&address, &size) ? -1 : ntohs(address.sin_port);
}

/* Answers one request; 0 when the client has gone. */
static int answer(modbus_t *server, int client, modbus_mapping_t *tables)
{
    uint8_t request[MODBUS_TCP_MAX_ADU_LENGTH];
    modbus_set_socket(server, client);
    int length = modbus_receive(server, request);
    return length < 0 ? 0 : length == 0 || modbus_reply(server, request, length, tables) >= 0;
}

static void serve(modbus_t *server, int listener, modbus_mapping_t *tables)
{
    fd_set watched, readable;
    int highest = listener;
    FD_ZERO(&watched);
    FD_SET(listener, &watched);
    while (!stopping) {
        readable = watched;
        if (select(highest + 1, &readable, NULL, NULL, NULL) < 0)
            continue; /* EINTR: the signal that stops us */
        for (int fd = 0; fd <= highest; fd++) {
            if (!FD_ISSET(fd, &readable))
                continue;
            if (fd == listener) {
                int client = accept(listener, NULL, NULL);
                if (client < 0 || client >= FD_SETSIZE)
                    continue;
                FD_SET(client, &watched);
                highest = client > highest ? client : highest;
            } else if (!answer(server, fd, tables)) {
                close(fd);
                FD_CLR(fd, &watched);
            }
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: modbus_server PORT\n");
        return 2;
    }
    struct sigaction action = {.sa_handler = stop}; /* no SA_RESTART: select must return */
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    signal(SIGPIPE, SIG_IGN);

    modbus_t *server = modbus_new_tcp("127.0.0.1", atoi(argv[1]));
    modbus_mapping_t *tables = modbus_mapping_new(ENTRIES, ENTRIES, ENTRIES, ENTRIES);
    if (!server || !tables)
        return 1;
    fill(tables);
    int listener = modbus_tcp_listen(server, CLIENTS_MAX);
    if (listener < 0) {
        fprintf(stderr, "cannot listen on port %s: %s\n", argv[1], modbus_strerror(errno));
        return 1;
    }
    printf("ready %d\n", bound_port(listener));
    fflush(stdout);
    serve(server, listener, tables);
    close(listener);
    modbus_mapping_free(tables);
    modbus_free(server);
    return 0;
}
