name                 = "host1"
region               = "global"
datacenter           = "MATRIX"
data_dir             = "/var/lib/nomad"
disable_update_check = true

client {
  enabled           = true
  servers           = ["10.0.0.2:4647", "10.0.0.3:4647"]
  node_pool         = "metal"
  network_interface = "{{ GetAllInterfaces | include \"network\" \"10.0.0.0/24\" | attr \"name\" }}"
  options = {
    "fingerprint.denylist" = "env_aws,env_azure,env_digitalocean,env_gce"
  }
  meta = {
    note = "a \"quoted\" \\ word"
    rack = "r1"
  }
}

plugin "raw_exec" {
  config {
    enabled = true
  }
}

plugin "docker" {
  config {
    allow_privileged = true
    volumes {
      enabled = true
    }
  }
}

tls {
  http                   = true
  rpc                    = true
  verify_server_hostname = true
  ca_file                = "/etc/nomad.d/tls/ca.pem"
  cert_file              = "/etc/nomad.d/tls/host.pem"
  key_file               = "/etc/nomad.d/tls/host.key"
}
