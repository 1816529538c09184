Knight --chip TX5368AV200 quant onnx -m weight/recognizer.onnx -uds src/ocr.py -if infer_ocr -s ./tmp/ocr -d data/lines -is 1 3 32 96 -bs 2 -i 6 -qm min_max
