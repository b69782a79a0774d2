package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var assetFiles embed.FS

// assets are the files that pages load, by a name that changes with their content:
// "1a2b3c4d-console.css".
var assets, assetNames = loadAssets()

func loadAssets() (map[string][]byte, map[string]string) {
	byName, names := map[string][]byte{}, map[string]string{}
	err := fs.WalkDir(assetFiles, "assets", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || assetType(file) == "" {
			return err
		}
		content, err := assetFiles.ReadFile(file)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		name := hex.EncodeToString(sum[:4]) + "-" + path.Base(file)
		byName[name], names[strings.TrimPrefix(file, "assets/")] = content, name
		return nil
	})
	if err != nil { // a fault of the build
		panic(err)
	}
	return byName, names
}

func assetType(file string) string {
	switch path.Ext(file) {
	case ".css", ".js", ".svg":
		return mime.TypeByExtension(path.Ext(file))
	default:
		return ""
	}
}

// assetPath is where a page finds a file of assets/.
func assetPath(file string) string {
	name, ok := assetNames[file]
	if !ok {
		panic(fmt.Sprintf("console: no asset %s", file))
	}
	return "/assets/" + name
}

// asset serves one file. It holds nothing of anybody, and its name changes with it, so browsers may
// keep it.
func asset(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	content, ok := assets[name]
	if !ok {
		fail(w, http.StatusNotFound, "notFound", "there is no such file")
		return
	}
	w.Header().Set("Content-Type", assetType(name))
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	_, _ = w.Write(content) // the browser has gone
}
