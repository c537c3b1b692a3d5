// Package bundle reads and writes one signed file that holds many: what is
// carried to a site without network. It is a plain tar of
//
//	manifest.json  who made it, when, and name, size and SHA-256 of every file
//	manifest.sig   the maker's public key, and its Ed25519 signature over manifest.json
//	…              the files, in the manifest's order
//
// so that a reader knows who made it, and how much there is to come, before it
// touches the rest, and needs no more trust in the tar than that. Nothing in it is compressed:
// what it carries is already, and so there is nothing that could grow.
package bundle
