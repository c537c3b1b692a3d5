package routertest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"math/big"
	"strconv"
	"time"
)

// ownCertificate makes a self-signed certificate and gives it to api-ssl, as
// an administrator does who opens the API.
func (r *Router) ownCertificate() {
	t := r.tables["/certificate"]
	one := t.insert(map[string]string{"name": "api", "common-name": "router"}, "")
	if err := r.sign(one); err != nil {
		panic(fmt.Sprintf("routertest: sign the router's own certificate: %v", err)) // no randomness
	}
	service := r.tables["/ip/service"].named("api-ssl")
	service.fields["certificate"] = formatID(one.id)
}

// sign makes the key and the certificate of a row of /certificate, and notes
// on the row what they are. The key is an elliptic one whatever key-size says:
// a large RSA key takes a real router minutes.
func (r *Router) sign(one *row) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	days, _ := strconv.Atoi(r.tables["/certificate"].value(one, "days-valid"))
	// The client's clock is the real one, whatever the router's says.
	begin := time.Now().Add(-time.Hour)
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 64))
	if err != nil {
		return err
	}
	model := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: one.fields["common-name"]},
		NotBefore: begin, NotAfter: begin.AddDate(0, 0, days),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, model, model, &key.PublicKey, key)
	if err != nil {
		return err
	}
	sum := sha256.Sum256(der)
	r.keys[one.id] = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	for name, value := range map[string]string{
		"fingerprint": fmt.Sprintf("%x", sum), "serial-number": serial.Text(16), "private-key": "true", "authority": "true",
		"invalid-before": model.NotBefore.UTC().Format(stamp), "invalid-after": model.NotAfter.UTC().Format(stamp),
		"issuer": "", "key-type": "ec",
	} {
		one.fields[name] = value
	}
	return nil
}

// serviceCertificate is what api-ssl shows; nil without one.
func (r *Router) serviceCertificate() *tls.Certificate {
	id, ok := parseID(r.tables["/ip/service"].named("api-ssl").fields["certificate"])
	if found, _ := r.tables["/certificate"].find(id); !ok || found == nil {
		return nil
	}
	return r.keys[id]
}

// signCommand is /certificate/sign: without ca= the certificate signs itself.
func (r *Router) signCommand(c *call) ([]record, error) {
	rows, err := r.targets(c)
	if err != nil {
		return nil, err
	}
	var edits []edit
	for _, old := range rows {
		if r.keys[old.id] != nil {
			return nil, trap(categoryGeneral, "failure: certificate already signed") // [?]
		}
		signed := old.clone()
		if name, ok := c.get("name"); ok {
			signed.fields["name"] = name
		}
		if err := r.sign(signed); err != nil {
			return nil, trap(categoryGeneral, "failure: %v", err)
		}
		_, at := c.table.find(old.id)
		edits = append(edits, edit{menu: c.table.path, before: old, after: signed, at: at, to: at})
	}
	r.change(c.session, c.table.path, "sign", edits...)
	return nil, nil
}
