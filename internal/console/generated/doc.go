// Package generated makes the Go code of the console's pages of their templates, and checks that it
// is current. It imports none of it, since it must run when that does not build.
package generated
