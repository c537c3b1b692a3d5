package httpboot

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"

	"provision.internal/boot"
	"provision.internal/host"
)

func BenchmarkRenderInstallScript(b *testing.B) {
	h := host.Host{MAC: mac1, Name: "n1"}
	kit := Kit{Kernel: "a", Initrd: "b", Cmdline: "console=ttyS0 quiet"}
	for b.Loop() {
		data, err := newInstallScript(h, "http://10.77.0.1", kit)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := render(ipxeScripts, "install.ipxe", data); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkScript is one request without the network: decision, rendering, log.
func BenchmarkScript(b *testing.B) {
	for name, path := range map[string]string{"disk": boot.ScriptPath + "52-54-00-00-00-02", "install": asUEFI} {
		b.Run(name, func(b *testing.B) {
			r := newRig(b)
			r.Log = slog.New(slog.DiscardHandler)
			r.admit(b, mac1, "n1", "")
			handler := r.Plain()
			q, err := http.NewRequest(http.MethodGet, path, nil)
			if err != nil {
				b.Fatal(err)
			}
			q.RemoteAddr = "127.0.0.1:1"
			for b.Loop() {
				w := &discard{header: http.Header{}}
				handler.ServeHTTP(w, q)
				if w.body.Len() == 0 {
					b.Fatal("no script")
				}
			}
		})
	}
}

// BenchmarkTransfer fetches an image of 64 MiB over loopback.
func BenchmarkTransfer(b *testing.B) {
	r := newRig(b)
	r.Log = slog.New(slog.DiscardHandler)
	image := bytes.Repeat([]byte("x"), 64<<20)
	sha := r.Images.(folder).put(b, image)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	server := NewHTTPServer(r.Plain(), r.Log)
	go server.Serve(l)
	defer server.Close()
	b.SetBytes(int64(len(image)))
	for b.Loop() {
		resp, err := http.Get("http://" + l.Addr().String() + boot.ImagePath + sha + "/x")
		if err != nil {
			b.Fatal(err)
		}
		n, err := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil || n != int64(len(image)) {
			b.Fatalf("%d bytes, %v", n, err)
		}
	}
}
