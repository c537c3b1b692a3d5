// Package httpboot is everything that machines talk to over HTTP. The plain
// handler serves what is public: loaders, boot scripts, images and packages. The
// secure handler, over TLS with a certificate of the appliance's own authority,
// speaks the installer's protocol and enrols installed systems.
//
// What a machine boots is decided by package boot; what the words of the
// protocols mean is in package installer; what may change is the store's to
// decide. This package checks who asks, and answers.
package httpboot
