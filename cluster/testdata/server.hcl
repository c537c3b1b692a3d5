name                 = "matrix-core"
region               = "global"
datacenter           = "MATRIX-CONTROL"
data_dir             = "/var/lib/nomad"
disable_update_check = true

advertise {
  http = "192.0.2.13"
  rpc  = "192.0.2.13"
  serf = "192.0.2.13"
}

server {
  enabled          = true
  bootstrap_expect = 3
  encrypt          = "GOSSIP"

  server_join {
    retry_join     = ["192.0.2.11:4648", "192.0.2.12:4648"]
    retry_interval = "5s"
  }
}

acl {
  enabled = true
}

tls {
  http                   = true
  rpc                    = true
  verify_server_hostname = true
  ca_file                = "/etc/nomad.d/tls/ca.pem"
  cert_file              = "/etc/nomad.d/tls/host.pem"
  key_file               = "/etc/nomad.d/tls/host.key"
}
