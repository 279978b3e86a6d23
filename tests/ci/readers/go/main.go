// Reads with github.com/tmaxmax/go-sse.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strconv"

	"github.com/tmaxmax/go-sse"
)

func main() {
	if err := read(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func read(url, number string) error {
	wanted, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "text/event-stream")
	client := http.Client{Transport: &http.Transport{Proxy: nil}}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	out := bufio.NewWriter(os.Stdout)
	encoder := json.NewEncoder(out)
	for event, err := range sse.Read(response.Body, nil) {
		if err != nil {
			return err
		}
		if event.Type != "log" {
			continue
		}
		if err := encoder.Encode([2]string{event.LastEventID, event.Data}); err != nil {
			return err
		}
		wanted--
		if wanted == 0 {
			break
		}
	}
	return out.Flush()
}
