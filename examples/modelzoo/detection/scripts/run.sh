Knight --chip TX5368AV200 quant onnx -m weight/detector.onnx -uds src/detection.py -if infer_detection -s ./tmp/detection -d data/coco128.yaml -bs 1 -i 16
